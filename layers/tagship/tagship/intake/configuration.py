"""The application's configuration, in Parameter Store: read once for a release; a change meanwhile touches the next only."""

from __future__ import annotations

import json
from typing import Any

from tagship.aws.calls import calling
from tagship.model.documents import MAX_DEPTH, DocumentInvalid, as_document, read_application
from tagship.model.errors import ApplicationUnknown
from tagship.model.release import parameter_name


def read(ssm: Any, *, stage: str, application: str) -> dict[str, Any]:
    """`{"version", "document", "problems"}`: the document with its defaults written out, None where it is not valid."""
    name = parameter_name(stage, application)
    try:
        with calling(f"Reading the parameter {name}", ParameterNotFound=ApplicationUnknown):
            parameter = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    except ApplicationUnknown:
        return {"version": 0, "document": None, "problems": [f"there is no parameter {name}"]}
    try:
        found = read_application(json.loads(parameter["Value"]))
        if found.application != application:
            raise ValueError(f"{name} is about {found.application!r}")
        if found.stage not in (None, stage):
            raise ValueError(f"{name} is for the stage {found.stage}, and this is {stage}")
        return {"version": parameter["Version"], "document": as_document(found), "problems": []}
    except RecursionError:
        problems = [f"is nested deeper than {MAX_DEPTH}"]
    except DocumentInvalid as error:
        problems = [str(problem) for problem in error.problems]
    except ValueError as error:
        problems = [str(error)]
    return {"version": parameter["Version"], "document": None, "problems": problems}
