"""A deployment package is inspected, never run: what Lambda would refuse or could not start is reported before
approval."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import warnings
import zipfile

import pytest

from tagship.targets.lambda_package import MOST_UNZIPPED, look_into

GOOD = "def handler(event, context):\n    return {}\n"


def packed(files, *, mode=0o644, system=3):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.create_system = mode << 16, system
            archive.writestr(entry, text, compress_type=zipfile.ZIP_DEFLATED)
    return raw


def claiming(raw, name, size):
    """The same zip, whose directory claims another unzipped size for a file."""
    found = bytearray(raw.getvalue())
    entry = found.rfind(b"PK\x01\x02", 0, found.rfind(name.encode()))
    found[entry + 24 : entry + 28] = struct.pack("<L", size)
    return io.BytesIO(bytes(found))


def problems(raw, *, handler="app.handler", runtime="python3.13", layers=()):
    return list(look_into(raw, handler=handler, runtime=runtime, layers=layers).problems)


def test_a_good_package_has_no_problems():
    found = look_into(packed({"app.py": GOOD, "lib/x.py": "1"}), handler="app.handler", runtime="python3.13")
    assert (found.files, found.unzipped, found.problems) == (2, len(GOOD) + 1, ())


@pytest.mark.parametrize(
    "handler, runtime, file",
    [
        ("a.b.handler", "python3.12", "a/b.py"),
        ("a/b.handler", "python3.12", "a/b.py"),
        ("a.handler", "python3.12", "a/__init__.py"),
        ("a.handler", "python3.13", "a.cpython-313-x86_64-linux-gnu.so"),
        ("index.handler", "nodejs22.x", "index.mjs"),
        ("src/index.main.handler", "nodejs22.x", "src/index.js"),  # `main.handler` in the module `src/index`
        ("v1.2/index.api.v2.handler", "nodejs22.x", "v1.2/index.cjs"),
        ("app.handler", "python3.13", "./app.py"),
        ("./src/index.handler", "nodejs22.x", "src/index.cjs"),
        ("lib/app.App::Handler.process", "ruby3.3", "lib/app.rb"),
        ("com.acme.App::handle", "java21", "com/acme/App.class"),
        ("anything", "dotnet8", "Acme.dll"),
        ("whatever", "provided.al2023", "bootstrap"),
        ("", "", "x"),
    ],
)
def test_the_handlers_file_is_looked_for_where_its_runtime_does(handler, runtime, file):
    assert problems(packed({file: "", "other/y": ""}, mode=0o755), handler=handler, runtime=runtime) == []


@pytest.mark.parametrize(
    "handler, runtime, looked",
    [
        ("app.handler", "python3.13", "app.py"),
        ("index.handler", "nodejs22.x", "index.js"),
        ("./index.handler", "nodejs22.x", "index.js"),
        ("lib/app.App::Handler.process", "ruby3.3", "lib/app.rb"),
        ("v1.2/app.handler", "ruby3.3", "v1.rb"),  # Ruby's runtime splits at the first point
    ],
)
def test_a_missing_handler_is_reported(handler, runtime, looked):
    """Fault 84."""
    assert problems(packed({"other/x": "", "y": ""}), handler=handler, runtime=runtime) == [
        (
            f"The function's handler is {handler}, but {looked} is not in the package. Add that file, or "
            "correct the function's handler."
        )
    ]


@pytest.mark.parametrize("handler, runtime", [("app.handler", "python3.13"), ("x", "provided.al2023")])
def test_a_handler_can_come_from_a_layer(handler, runtime):
    assert problems(packed({"x": ""}), handler=handler, runtime=runtime, layers=[1]) == []


@pytest.mark.parametrize(
    "handler, runtime",
    [
        ("/opt/nodejs/node_modules/wrapper/handler.handler", "nodejs22.x"),
        ("handler", "nodejs22.x"),
        ("handler", "python3.13"),
    ],
)
def test_a_handler_that_names_no_file_of_the_package_is_not_looked_for(handler, runtime):
    assert problems(packed({"x": ""}), handler=handler, runtime=runtime) == []


def test_a_package_with_one_top_folder_is_reported():
    """Fault 84."""
    assert problems(packed({"build/app.py": GOOD, "build/lib/x/y.py": ""})) == [
        (
            "All its files are in the folder build, but Lambda looks for app.py at the top level. Zip the "
            "folder's contents, not the folder."
        )
    ]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o711])
def test_a_file_that_others_cannot_read_is_reported(mode):
    """Fault 84."""
    (problem,) = problems(packed({"app.py": GOOD}, mode=mode))
    assert problem == (
        "Lambda cannot read app.py: only the owner has read permission. Run chmod -R a+rX, then create the "
        "zip again."
    )


@pytest.mark.parametrize("mode, system", [(0o100000, 3), (0o600, 0)])
def test_a_package_without_file_modes_is_not_checked_for_them(mode, system):
    assert problems(packed({"app.py": GOOD}, mode=mode, system=system)) == []


def doubled(*files):
    """A zip in which a name may occur more than once."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a duplicate name, and writes it
        for name, text in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return raw


@pytest.mark.parametrize(
    "again, handler, runtime",
    [
        ("app.py", "app.handler", "python3.13"),
        ("./app.py", "app.handler", "python3.13"),
        ("bootstrap", "anything", "provided.al2023"),
    ],
)
def test_the_first_file_to_run_must_not_be_ambiguous(again, handler, runtime):
    """Lambda may keep the one that was not inspected."""
    name = again.removeprefix("./")
    package = doubled((name, GOOD), (again, "def handler(event): steal()"))
    assert problems(package, handler=handler, runtime=runtime)[-1] == (
        f"It contains {name} more than once, with different contents. AWS does not document which one Lambda keeps. "
        "Delete the old zip before you create it again, and add each file once."
    )


def test_other_names_that_occur_twice_are_reported_only_if_their_contents_differ():
    package = doubled(("app.py", GOOD), ("app.py", GOOD), ("LICENSE", "MIT"), ("LICENSE", "Apache"))
    found = look_into(package, handler="app.handler", runtime="python3.13")
    assert (found.problems, found.ambiguous) == ((), ("LICENSE",))


def test_a_bootstrap_must_exist_and_be_executable():
    asked = {"handler": "x", "runtime": "provided.al2023"}
    assert problems(packed({"x": ""}), **asked) == [
        "The file bootstrap, which the runtime starts, is missing at the top level. Add it."
    ]
    assert problems(packed({"bootstrap": ""}, mode=0o644), **asked) == [
        "The file bootstrap is not executable. Run chmod a+rx bootstrap, then create the zip again."
    ]


def test_python_is_compiled_and_never_run(tmp_path):
    """Fault 84."""
    ran = tmp_path / "ran"
    assert problems(packed({"app.py": f"open({str(ran)!r}, 'w')\n"})) == []
    assert not ran.exists()


@pytest.mark.parametrize(
    "source, problem",
    [
        (
            "import os\ndef handler(:\n",
            "app.py is not valid Python in line 2: invalid syntax. Fix it, then create the zip again.",
        ),
        (
            GOOD + "\0",
            "app.py is not valid Python: source code string cannot contain null bytes. Fix it, then create the zip again.",
        ),
        (
            "x = " + "-" * 200_000 + "1",
            "app.py is too complex for Python to compile (MemoryError). Simplify it, then create the zip again.",
        ),
        (
            "x = 1" + " + 1" * 20_000,
            "app.py is too complex for Python to compile (RecursionError). Simplify it, then create the zip again.",
        ),
    ],
    ids=["syntax", "null bytes", "nested", "long"],
)
def test_a_source_that_cannot_be_compiled_is_reported(source, problem):
    """Fault 84."""
    assert problems(packed({"app.py": source})) == [problem]


def test_a_source_is_compiled_as_its_own_runtime_does():
    """Without the future imports of Tagship's own modules, under which this is an error."""
    assert problems(packed({"app.py": "handler: (default := print) = print\n"})) == []


@pytest.mark.parametrize("more, found", [(0, 1), (1, 0)])
def test_a_source_of_up_to_one_mebibyte_is_compiled(more, found):
    source = "def handler(:\n#".ljust(1024**2 + more, "#")
    assert len(problems(packed({"app.py": source}))) == found


def test_a_newer_python_than_ours_is_not_checked():
    assert problems(packed({"app.py": "def handler(:\n"}), runtime="python3.99") == []


def test_all_problems_are_reported_at_once():
    assert len(problems(packed({"/x": "", "../y": "", "app.py": "def ("}, mode=0o600))) == 3


def test_a_zip_whose_directory_is_damaged_is_reported():
    whole = packed({"app.py": GOOD}).getvalue()
    assert problems(io.BytesIO(whole.replace(b"PK\x01\x02", b"PK\x00\x00"))) == [
        "It cannot be read as a zip file: Bad magic number for central directory. Create the zip again."
    ]


@pytest.mark.parametrize(
    "raw", [b"", b"PK", b"not a zip" * 100, os.urandom(5000)], ids=["empty", "cut", "text", "noise"]
)
def test_a_file_that_is_not_a_zip_is_reported(raw):
    assert problems(io.BytesIO(raw)) == ["It is not a zip file. Package it as a zip."]


def test_every_truncated_package_is_a_problem_and_no_crash():
    whole = packed({"app.py": GOOD * 50}).getvalue()
    for end in range(0, len(whole), 7):
        assert problems(io.BytesIO(whole[:end]))


def test_every_changed_byte_of_the_directory_causes_no_crash():
    whole = packed({"app.py": GOOD}).getvalue()
    for at in range(whole.rfind(b"PK\x01\x02"), len(whole)):
        for value in (0, 0xFF):
            look_into(
                io.BytesIO(whole[:at] + bytes([value]) + whole[at + 1 :]),
                handler="app.handler",
                runtime="python3.13",
            )


@pytest.fixture
def little_memory():
    """Fails a test that unpacks more than a source."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 5 * 1024 * 1024
    finally:
        tracemalloc.stop()


BOMB = packed({"app.py": GOOD, "bomb.py": b"\0" * 20 * 1024**2})


@pytest.mark.usefixtures("little_memory")
def test_a_package_up_to_the_limit_is_measured_by_its_directory_and_never_unpacked():
    """Fault 84."""
    assert problems(claiming(BOMB, "bomb.py", MOST_UNZIPPED - len(GOOD))) == []
    assert problems(claiming(BOMB, "bomb.py", MOST_UNZIPPED - len(GOOD) + 1)) == [
        (
            "It has 250 MB unzipped; Lambda's limit is 250 MB. Remove files from it, or move dependencies into a layer of "
            "the function."
        )
    ]


@pytest.mark.usefixtures("little_memory")
def test_a_source_that_is_larger_than_the_directory_claims_is_not_unpacked():
    """Fault 84."""
    assert problems(claiming(BOMB, "bomb.py", 100), handler="bomb.handler") == [
        "It cannot be read as a zip file: Bad CRC-32 for file 'bomb.py'. Create the zip again."
    ]


def test_the_layers_count_towards_the_limit_with_their_zipped_size():
    """Fault 84."""
    raw = packed({"app.py": GOOD, "model": b"\0" * 1024**2})
    assert problems(raw, layers=[200 * 1024**2, 48 * 1024**2]) == []
    assert problems(raw, layers=[200 * 1024**2, 50 * 1024**2]) == [
        (
            "It has 1 MB unzipped, and the function's layers have at least 250 MB. Lambda's limit for all of it is 250 MB. "
            "Remove files from it, or layers from the function."
        )
    ]


def test_an_endless_directory_is_not_read():
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0, 0)
    assert problems(io.BytesIO(end)) == ["It has too many files to inspect. Package fewer files."]


def test_an_encrypted_package_is_reported():
    raw = bytearray(packed({"app.py": GOOD}).getvalue())
    raw[raw.rfind(b"PK\x01\x02") + 8] |= 1
    assert (
        problems(io.BytesIO(bytes(raw)))[0] == "It is encrypted: app.py. Create the zip without a password."
    )


@pytest.mark.parametrize("closed", [0o700, 0o744, 0o711])
def test_a_folder_that_only_its_owner_can_open_is_reported(closed):
    """Fault 84. The files in it can be read by all, but Lambda cannot reach them."""
    raw = packed({"app.py": GOOD})
    with zipfile.ZipFile(raw, "a") as archive:
        for name, mode in (("lib/", closed), ("lib/open/", 0o755), ("lib/x.py", 0o644)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "")
    (problem,) = problems(raw)
    assert problem.startswith(
        "Lambda cannot read lib/: only the owner has read permission. Run chmod -R a+rX"
    )


def test_a_damaged_file_is_reported():
    """Fault 84. Its directory is whole; what it compresses is not."""
    raw = packed({"app.py": GOOD * 100})
    raw.seek(38)
    raw.write(b"\xff" * 18)
    (problem,) = problems(raw)
    assert problem.startswith("It cannot be read as a zip file: Error -3 while decompressing data")


@pytest.mark.parametrize("method", [9, 12, 14, 93])  # Deflate64, bzip2, LZMA, Zstandard
def test_a_compression_that_lambda_cannot_unpack_is_reported(method):
    """Fault 84."""
    raw = packed({"app.py": GOOD * 10, "more.py": ""})
    at = raw.getvalue().index(b"PK\x01\x02") + 10  # the method of the first file, in the zip's directory
    raw.seek(at)
    raw.write(struct.pack("<H", method))
    (problem,) = problems(raw)
    assert problem == (
        "Lambda cannot unpack app.py: it is compressed with another method than deflate. Create the zip with the "
        "method deflate."
    )
