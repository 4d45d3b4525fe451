#!/usr/bin/env bash
# What a team without Tagship might write: register the task definition, update the service, wait. No gates, no approval, no lock, no
# check that nobody else has deployed meanwhile, no way back.
#
#   service.sh CLUSTER SERVICE TASK_DEFINITION_FILE
set -euo pipefail
cluster=$1 service=$2 file=$3

made=$(aws ecs register-task-definition --cli-input-json "file://$file" \
  --query taskDefinition.taskDefinitionArn --output text)
aws ecs update-service --cluster "$cluster" --service "$service" --task-definition "$made" >/dev/null
aws ecs wait services-stable --cluster "$cluster" --services "$service"
