"""What the lambda target sees in a package before approval: against the function's own handler, runtime and layers."""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from tagship.model.errors import BaselineMissing
from tagship.targets.lambda_configuration import differences, digest_of, is_dangerous
from tagship.targets.lambda_package import MOST_UNZIPPED
from tests.unit.tables import aws_error
from tests.unit.targets.functions import OLD, FakeLambda, artifacts, digest, target


def zipped(**files: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(f"{name}.py")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return raw.getvalue()


GOOD = zipped(index="def handler(event, context): ...\n")


def looked_into(package: bytes = GOOD, **latest: Any) -> tuple[str, list[str]]:
    functions = FakeLambda()
    functions.latest.update(latest)
    brought = artifacts(package)
    _, pinned = brought["function"]
    said, problems = target(functions).look_into(brought, lambda it: {pinned: io.BytesIO(package)}[it])
    return said, list(problems)


def test_a_good_package_is_described_with_the_functions_handler():
    assert looked_into() == ("storefront.zip has 1 file, 33 bytes unzipped, and handler index.handler.", [])
    two = zipped(index="def handler(event, context): ...\n", prices="")
    assert looked_into(two)[0].startswith("storefront.zip has 2 files, ")


def test_names_that_occur_twice_are_shown_with_the_package():
    raw = io.BytesIO(GOOD)
    with zipfile.ZipFile(raw, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a duplicate name, and writes it
        for text in ("MIT", "Apache-2.0"):
            entry = zipfile.ZipInfo("LICENSE")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    said, found = looked_into(raw.getvalue())
    assert not found
    assert said.endswith(
        " It contains LICENSE more than once, with different contents: AWS does not document which one Lambda keeps."
    )


def test_each_problem_names_the_file():
    """Fault 84."""
    (problem,) = looked_into(zipped(app="def handler(event, context): ...\n"))[1]
    assert problem.startswith("storefront.zip: ") and "index" in problem
    (problem,) = looked_into(zipped(index="def handler(event context): ...\n"))[1]
    assert problem.startswith("storefront.zip: ") and "index.py" in problem


def test_a_handler_that_may_be_in_a_layer_is_no_problem_and_the_layers_size_counts():
    package = zipped(app="")
    assert looked_into(package, Layers=[{"Arn": "arn:layer:1", "CodeSize": 1024}])[1] == []
    (problem,) = looked_into(Layers=[{"Arn": "arn:layer:1", "CodeSize": MOST_UNZIPPED}])[1]
    assert problem.startswith(
        "storefront.zip: It has 0 MB unzipped, and the function's layers have at least 250 MB."
    )


def test_the_handler_is_looked_for_as_the_functions_runtime_does():
    assert looked_into(Runtime="nodejs22.x")[1] != []
    assert looked_into(Runtime="dotnet8")[1] == looked_into(Runtime="java21")[1]


def test_a_container_image_is_not_inspected():
    assert looked_into(b"no zip", PackageType="Image") == (
        "storefront is a container image, which this gate does not inspect.",
        [],
    )


def test_a_package_that_is_too_large_is_not_even_read():
    artifact, pinned = artifacts(GOOD)["function"]

    def opened(_: Any) -> Any:
        raise AssertionError("it was read")

    too_large = {"function": (artifact, replace(pinned, size=MOST_UNZIPPED + 1))}
    assert target(FakeLambda()).look_into(too_large, opened) == (
        "",
        ["storefront.zip is larger than Lambda's limit for unzipped code. Remove files."],
    )
    as_large_as_allowed = {"function": (artifact, replace(pinned, size=MOST_UNZIPPED))}
    said, problems = target(FakeLambda()).look_into(as_large_as_allowed, lambda _: io.BytesIO(GOOD))
    assert (said, problems) == (looked_into()[0], [])


# ---- the function's settings ----------------------------------------------------------------------------------------


CONFIGURED = {
    "Role": "arn:role",
    "Handler": "index.handler",
    "Runtime": "python3.13",
    "Layers": [{"Arn": "arn:layer:1"}, {"Arn": "arn:layer:2"}],
    "DeadLetterConfig": {"TargetArn": "arn:queue"},
    "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
    "KMSKeyArn": "arn:key",
    "FileSystemConfigs": [{"Arn": "arn:efs:1", "LocalMountPath": "/mnt/data"}],
    "SnapStart": {"ApplyOn": "PublishedVersions"},
    "RuntimeConfig": {"Name": "own"},
    "CapacityProviderConfig": {"Name": "large"},
    "TenancyConfig": {"TenantIsolationMode": "PER_TENANT"},
    "Environment": {"Variables": {"TOKEN": "s3cr3t", "TABLE": "orders"}},
    "Architectures": ["arm64"],
    "MemorySize": 256,
    "Timeout": 10,
    "EphemeralStorage": {"Size": 1024},
    "TracingConfig": {"Mode": "Active"},
    "LoggingConfig": {"LogFormat": "JSON"},
    "ImageConfigResponse": {"ImageConfig": {"WorkingDirectory": "/srv"}},
    "DurableConfig": {"ExecutionTimeout": 60},
    "AcceleratorConfig": {"Name": "gpu"},
}


def test_each_setting_is_compared_with_its_default_and_dangerous_ones_come_first():
    lines = differences({}, CONFIGURED)
    assert lines == [
        "Configuration: role none → arn:role",
        "Configuration: handler none → index.handler",
        "Configuration: runtime none → python3.13",
        "Configuration: layers none → arn:layer:1, arn:layer:2",
        "Configuration: dead-letter queue none → arn:queue",
        "Configuration: network (VPC) none → sg-1, subnet-1, IPv6",
        "Configuration: encryption key none → arn:key",
        "Configuration: file systems none → arn:efs:1 at /mnt/data",
        "Configuration: SnapStart None → PublishedVersions",
        'Configuration: customer-managed runtime none → {"Name": "own"}',
        'Configuration: capacity provider none → {"Name": "large"}',
        'Configuration: tenant isolation none → {"TenantIsolationMode": "PER_TENANT"}',
        "Environment variables added: TABLE, TOKEN",
        "Configuration: architecture x86_64 → arm64",
        "Configuration: memory (MB) 128 → 256",
        "Configuration: time-out (s) 3 → 10",
        "Configuration: temporary storage (MB) 512 → 1024",
        "Configuration: tracing PassThrough → Active",
        'Configuration: logging {"LogFormat": "Text"} → {"LogFormat": "JSON"}',
        'Configuration: image configuration none → {"WorkingDirectory": "/srv"}',
        'Configuration: durable execution none → {"ExecutionTimeout": 60}',
        'Configuration: accelerator none → {"Name": "gpu"}',
    ]
    assert [is_dangerous(line) for line in lines] == [True] * 12 + [False] * 10


def test_variables_are_named_in_order_and_their_values_never_shown():
    before = {
        "Environment": {"Variables": {"B": "s3cr3t", "A": "s3cr3t", "D": "old", "C": "old", "SAME": "1"}}
    }
    after = {
        "Environment": {"Variables": {"F": "s3cr3t", "E": "s3cr3t", "D": "new", "C": "new", "SAME": "1"}}
    }
    assert differences(before, after) == [
        "Environment variables added: E, F",
        "Environment variables removed: A, B",
        "Environment variables changed: C, D",
    ]


def test_a_setting_with_several_fields_is_shown_with_their_names():
    before = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}
    after = {"CapacityProviderConfig": {"Name": "large", "Limit": 2}}
    assert differences(before, after) == [
        'Configuration: capacity provider none → {"Limit": 2, "Name": "large"}',
        'Configuration: tenant isolation {"TenantIsolationMode": "PER_TENANT"} → none',
    ]


@pytest.mark.parametrize(
    "mounted, words",
    [
        ({"Arn": "arn:efs:1", "LocalMountPath": "/mnt/data"}, "arn:efs:1 at /mnt/data"),
        (
            {"Arn": "arn:efs:1", "LocalMountPath": "/mnt/data", "Mode": "ro", "Owner": ""},
            'arn:efs:1 at /mnt/data {"Mode": "ro"}',
        ),
    ],
)
def test_a_file_system_is_named_with_its_path_and_whatever_else_it_has(mounted, words):
    assert differences({}, {"FileSystemConfigs": [mounted]}) == [
        f"Configuration: file systems none → {words}"
    ]


def test_the_digest_does_not_depend_on_the_order_in_which_aws_reports_a_file_systems_fields():
    mounted = {"Arn": "arn:efs:1", "LocalMountPath": "/mnt/data", "Mode": "ro", "Owner": "shop"}
    reported = ({"FileSystemConfigs": [dict(each)]} for each in (mounted.items(), reversed(mounted.items())))
    assert len({digest_of(each, "code") for each in reported}) == 1


def test_an_empty_package_has_one_problem():
    assert looked_into(zipped())[1] == ["storefront.zip: It is empty. Add the code to it."]


def test_a_package_of_exactly_the_limit_fits():
    layers = [{"Arn": "arn:layer:1", "CodeSize": MOST_UNZIPPED - 33}]
    assert looked_into(Layers=layers)[1] == []


def test_the_version_that_serves_is_described_as_the_plan_describes_its_baseline():
    functions = FakeLambda()
    serving = target(functions).serving()
    planned = target(functions).plan(artifacts(), {}, weighted=True).baseline
    assert serving and planned
    assert serving["data"]["codeSha256"] == digest(OLD)
    assert (serving["id"], serving["digest"], serving["data"]) == (
        "1",
        planned["digest"],
        planned["data"],
    )


def test_a_deleted_version_that_should_serve_is_reported_as_missing():
    functions = FakeLambda()
    functions.refuses["get_function_configuration"] = aws_error("ResourceNotFoundException", status=404)
    with pytest.raises(BaselineMissing):
        target(functions).serving()
