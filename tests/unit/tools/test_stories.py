"""Each kind of target has a demo."""

from __future__ import annotations

import io
import zipfile

import pytest
import yaml

from tagship.targets import KINDS
from tools import checkout, demo, orders, record, service, storefront, stories, website


def test_each_kind_has_a_story() -> None:
    assert set(stories.STORIES) == set(KINDS)


def test_an_unknown_kind_is_refused_in_one_line_with_those_that_can_be_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/node")
    assert demo.run(target="mainframe") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "mainframe" in said
    assert said.endswith(f"Available: {', '.join(stories.STORIES)}.\n")


def test_a_kind_with_a_missing_program_is_not_listed_as_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert stories.unshown("static-site") == (
        "A demo of static-site needs node on the PATH. Available without it: "
        "lambda, cloudformation, step-functions, ecs, custom."
    )
    assert stories.unshown("lambda") == ""


SAMPLES: tuple[type[stories.Sample], ...] = (
    storefront.Storefront,
    orders.Orders,
    website.Website,
    checkout.Checkout,
    service.Service,
    record.Record,
)
"""That each is one is checked with the types."""


def test_each_story_has_its_sample() -> None:
    named = {f"{sample.__module__}:{sample.__name__}" for sample in SAMPLES}
    assert {story.sample for story in stories.STORIES.values()} == named


@pytest.mark.parametrize("kind", stories.STORIES)
def test_each_story_has_two_good_releases_and_a_broken_one(kind: str) -> None:
    story = stories.STORIES[kind]
    assert [release.broken for release in story.releases] == [False, False, True]
    shown = demo.opening(story, build="about 30 s", again=True)
    assert all(line_ == line_.rstrip() for line_ in shown.splitlines())
    assert all(release.tag in shown for release in story.releases)


def test_the_broken_site_lacks_its_content_and_names_its_release() -> None:
    with zipfile.ZipFile(io.BytesIO(website.pack("v1.0.0"))) as good:
        assert set(good.namelist()) == set(website.PAGES)
        page = good.read("index.html")
    with zipfile.ZipFile(io.BytesIO(website.pack("v1.2.0", broken=True))) as broken:
        lost = broken.read("index.html")
    assert (website.release_in(page), website.release_in(lost)) == ("v1.0.0", "v1.2.0")
    assert website.HEADLINE.encode() in page
    assert website.HEADLINE.encode() not in lost


def test_the_broken_stack_has_one_more_resource() -> None:
    good, broken = (yaml.load(orders.template(broken=it), yaml.BaseLoader) for it in (False, True))
    assert set(broken["Resources"]) - set(good["Resources"]) == {"Taken"}


def test_the_custom_kinds_demo_packs_the_example_itself() -> None:
    with zipfile.ZipFile(io.BytesIO(record.pack())) as packed:
        compile(packed.read("app.py"), "app.py", "exec")
