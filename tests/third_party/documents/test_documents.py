"""Documents read by those who wrote the formats: MLCommons' mlcroissant, and SPDX's own model.

They come with `make test-documents`; without them there is nothing to ask.
"""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from registry.documents import Declared, sections_of
from registry.documents.croissant import croissant
from registry.documents.spdx import spdx
from tests.core.told import DECLARED, HOSTILE, RECEIPT, told_of

mlcroissant = pytest.importorskip("mlcroissant", reason="make test-documents brings it")
spdx_python_model = pytest.importorskip("spdx_python_model", reason="make test-documents brings it")

# mlcroissant asks rdflib for what rdflib is about to give another name.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

AT = "2026-11-24T00:00:00Z"
FILE = replace(RECEIPT, output=replace(RECEIPT.output, digest={"sha256": "3" * 64}, files=1))
TOLD = {
    "nothing declared": told_of(),
    "everything declared": told_of(DECLARED),
    "a dataset": told_of(replace(DECLARED, kind="dataset")),
    "a file": told_of(Declared(), FILE),
    "a table": told_of(format="parquet"),
    "research": told_of(mode="research-art3", organisation="A university", purpose="a study"),
}
FEW = settings(deadline=None, max_examples=15, database=None)


def read_by_mlcroissant(told):
    dataset = mlcroissant.Dataset(jsonld=json.loads(croissant(told)))
    return dataset.metadata, dataset.metadata.ctx.issues


def read_by_spdx(told):
    """Return the package and the annotations, once every reference is found and the same is written again."""
    wire = json.loads(spdx(told, AT))
    found, again = written_again(wire)
    found.link()
    assert found.missing_ids == set()
    assert elements(again) == elements(wire)
    [package] = found.foreach_type("dataset_DatasetPackage")
    return package, [one.statement for one in found.foreach_type("Annotation")]


def written_again(wire):
    """The model refuses while it reads what it does not know, and while it writes what is missing."""
    model, found = spdx_python_model.load_data(wire)
    return found, model.JSONLDSerializer().serialize_data(found)


def elements(wire):
    found = {one["spdxId"]: one for one in wire["@graph"] if "spdxId" in one}
    return {name: {**one, "creationInfo": "the one"} for name, one in found.items()}


@pytest.mark.parametrize("name", TOLD)
def test_mlcroissant_finds_no_error(name):
    metadata, issues = read_by_mlcroissant(TOLD[name])
    assert issues.errors == set()
    wanted = {one.split('"')[1].rpartition("/")[2] for one in issues.warnings}
    assert wanted <= {"citeAs", "version", "license", "datePublished"}
    assert metadata.conforms_to[0] == "http://mlcommons.org/croissant/1.0"


def test_mlcroissant_reads_what_was_said():
    metadata, issues = read_by_mlcroissant(TOLD["everything declared"])
    assert {one.split('"')[1].rpartition("/")[2] for one in issues.warnings} == {"citeAs", "version"}
    assert metadata.name == "Training data of Cosy chairs"
    assert metadata.license == ["CC-BY-4.0"]
    assert metadata.data_use_cases == [
        "declared: Made for: pictures of chairs",
        "declared: Made for: pictures of stools",
    ]
    assert metadata.data_limitations[0] == RECEIPT.about


def test_mlcroissant_does_find_errors():
    wire = json.loads(croissant(TOLD["everything declared"]))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld={**wire, "creator": {"name": "Ada"}})


@FEW
@given(HOSTILE)
def test_mlcroissant_reads_whatever_a_maker_writes(declared):
    metadata, issues = read_by_mlcroissant(told_of(declared))
    assert issues.errors == set()
    assert metadata.data_limitations[1:] == [
        f"declared: Limits: {one}" for one in declared.limits or ("not stated",)
    ]


@pytest.mark.parametrize("name", TOLD)
def test_the_model_of_spdx_takes_the_document(name):
    told = TOLD[name]
    package, said = read_by_spdx(told)
    lines = [fact.labelled for part in sections_of(told) for fact in part.facts]
    assert sorted(said) == sorted([*lines, told.receipt.about])
    assert package.dataset_datasetSize == told.receipt.output.bytes


WRONG = {
    "a size that is none": {"dataset_datasetSize": "many"},
    "a word that is none": {"dataset_datasetType": ["pictures"]},
    "a property that is none": {"dataset_colour": "red"},
    "a day that is none": {"builtTime": "yesterday"},
    "no kind of data": {"dataset_datasetType": []},
}


@pytest.mark.parametrize("name", WRONG)
def test_the_model_of_spdx_does_find_errors(name):
    wire = json.loads(spdx(TOLD["everything declared"], AT))
    wire["@graph"] = [
        {**one, **WRONG[name]} if one["type"] == "dataset_DatasetPackage" else one for one in wire["@graph"]
    ]
    with pytest.raises((ValueError, TypeError, KeyError)):
        written_again(wire)


@FEW
@given(HOSTILE)
def test_the_model_of_spdx_reads_whatever_a_maker_writes(declared):
    told = told_of(declared)
    _, said = read_by_spdx(told)
    assert len(said) == 1 + sum(len(part.facts) for part in sections_of(told))
