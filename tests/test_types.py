from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
import typing
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from anydocker import _generated_types, types

TOOLS = Path(__file__).resolve().parent.parent / "tools"
SPEC: dict[str, Any] = json.loads((TOOLS / "engine-api-1.55.json").read_text("utf-8"))
DEFINITIONS: dict[str, dict[str, Any]] = SPEC["definitions"]


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_types", TOOLS / "generate_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()

DOCUMENTS = [name for name in types.__all__ if typing.is_typeddict(getattr(types, name))]


def properties_of(schema: dict[str, Any]) -> set[str]:
    schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return set(schema.get("properties", {})).union(*map(properties_of, schema.get("allOf", [])))


def generate(definitions: dict[str, Any], paths: dict[str, Any] | None = None) -> Any:
    return generator.Types({"apiVersion": "1.0", "definitions": definitions, "paths": paths or {}})


class TestGenerated:
    def test_is_what_the_generator_makes(self) -> None:
        assert inspect.getsource(_generated_types) == generator.generated(SPEC)

    def test_the_front_is_what_the_generator_makes(self) -> None:
        source = inspect.getsource(types)
        assert source == generator.front(SPEC, source)

    def test_the_front_makes_up_for_what_is_missing(self) -> None:
        source = inspect.getsource(types)
        poor = source.replace("    HostConfig,\n", "").replace('    "HostConfig",\n', "")
        assert poor != source
        assert generator.front(SPEC, poor) == source

    @pytest.mark.parametrize("name", sorted(DEFINITIONS))
    def test_every_definition_is_there(self, name: str) -> None:
        assert name in types.__all__
        expected = properties_of(DEFINITIONS[name])
        if expected:
            assert expected <= typing.get_type_hints(getattr(types, name)).keys()

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_every_document_resolves(self, name: str) -> None:
        assert typing.get_type_hints(getattr(types, name))

    def test_every_key_can_be_read_without_get(self) -> None:
        optional = {name for name in DOCUMENTS if getattr(types, name).__optional_keys__}
        assert optional == {"ProgressMessage", "PushResult"}

    def test_any_is_rare(self) -> None:
        hints = [hint for name in DOCUMENTS for hint in typing.get_type_hints(getattr(types, name)).values()]
        assert sum("Any" in str(hint) for hint in hints) <= 17
        assert Any not in hints

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_an_array_or_a_map_may_be_null(self, name: str) -> None:
        for key, hint in typing.get_type_hints(getattr(types, name)).items():
            origins = {typing.get_origin(part) for part in typing.get_args(hint)}
            assert typing.get_origin(hint) not in {list, dict}, key
            assert not origins & {list, dict} or NoneType in typing.get_args(hint), key


class TestFront:
    def test_everything_is_exported_once(self) -> None:
        assert set(_generated_types.__all__) < set(types.__all__)
        assert len(set(types.__all__)) == len(types.__all__)
        assert set(types.__all__) - set(_generated_types.__all__) == {
            "ArchiveInfo",
            "ProgressMessage",
            "PushResult",
        }

    def test_is_imported_only_on_demand(self) -> None:
        code = "import anydocker, sys; print([name for name in sys.modules if name.endswith('types')])"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert "'types'" in done.stdout
        assert "anydocker" not in done.stdout

    def test_the_head_of_an_archive_is_whole(self) -> None:
        assert typing.get_type_hints(types.ArchiveInfo) == {
            "name": str,
            "size": int,
            "mode": int,
            "mtime": str,
            "linkTarget": str,
        }

    def test_documents_of_an_engine_read_as_they_are_meant(self) -> None:
        document: Any = {
            "State": {"Status": "running", "ExitCode": 0},
            "HostConfig": {"Binds": None},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None}},
        }
        inspected: types.ContainerInspectResponse = document
        code: int = inspected["State"]["ExitCode"]
        bound = (inspected["NetworkSettings"]["Ports"] or {})["80/tcp"] or []
        pushed: types.ProgressMessage = {"aux": {"Tag": "1", "Digest": "sha256:0a1b", "Size": 42}}
        assert (code, bound[0]["HostPort"], inspected["HostConfig"]["Binds"]) == (0, "8080", None)
        assert pushed


class TestGenerator:
    def test_scalars_arrays_and_maps(self) -> None:
        itself = {"$ref": "#/definitions/A"}
        made = generate(
            {
                "A": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "format": "dateTime"},
                        "count": {"type": "integer", "format": "int64", "x-nullable": True},
                        "rate": {"type": "number"},
                        "on": {"type": "boolean"},
                        "many": {"type": "array", "items": {"type": "string"}},
                        "map": {"additionalProperties": {"type": "array", "x-nullable": True, "items": itself}},
                        "free": {"type": "object"},
                        "open": {},
                    },
                }
            }
        )
        assert made.documents == {
            "A": {
                "text": "str",
                "count": "int | None",
                "rate": "float",
                "on": "bool",
                "many": "list[str] | None",
                "map": "dict[str, list[A] | None] | None",
                "free": "dict[str, Any] | None",
                "open": "Any",
            }
        }

    def test_inline_types_are_named_for_their_place(self) -> None:
        inner = {"type": "object", "properties": {"Mode": {"type": "string", "enum": ["a", "b"]}}}
        made = generate(
            {
                "Outer": {
                    "type": "object",
                    "properties": {
                        "One": inner,
                        "list_of": {"type": "array", "items": inner},
                        "map": {"type": "object", "additionalProperties": inner},
                    },
                }
            }
        )
        assert made.documents["Outer"] == {
            "One": "OuterOne",
            "list_of": "list[OuterListOfItem] | None",
            "map": "dict[str, OuterMapValue] | None",
        }
        assert made.documents["OuterMapValue"] == {"Mode": "OuterMapValueMode"}
        assert made.enumerations["OuterListOfItemMode"] == ['"a"', '"b"']

    def test_all_of_merges_and_shares_inline_types(self) -> None:
        inline = {"type": "object", "properties": {"x": {"type": "string"}}}
        base = {"type": "object", "properties": {"a": inline}}
        own = {"type": "object", "properties": {"b": {"type": "integer"}}}
        reference = {"$ref": "#/definitions/Base"}
        made = generate(
            {
                "Base": base,
                "Both": {"allOf": [reference, own]},
                "Own": {"allOf": [reference], **own},
                "Same": {"allOf": [reference, {"type": "object"}]},
            }
        )
        assert made.documents["Both"] == made.documents["Own"] == {"a": "BaseA", "b": "int"}
        assert made.aliases == {"Same": "Base"}

    def test_bodies_of_operations_are_named_for_them(self) -> None:
        body = {"type": "object", "properties": {"x": {"type": "string"}}}
        operation = {
            "operationId": "ThingPrune",
            "parameters": [
                {"in": "query", "name": "all", "type": "boolean"},
                {"in": "body", "name": "body", "schema": body},
            ],
            "responses": {
                "200": {"schema": {"type": "array", "items": body}},
                "204": {},
                "400": {"schema": body},
            },
        }
        plain = {"operationId": "ThingExport", "responses": {"200": {"schema": {"type": "string"}}}}
        made = generate({}, {"/things": {"post": operation, "get": plain}})
        assert made.names == ["ThingPruneRequest", "ThingPruneResponse", "ThingPruneResponseItem"]

    def test_two_types_of_one_name_are_refused(self) -> None:
        one = {"type": "object", "properties": {"B": {"type": "object", "properties": {"x": {"type": "string"}}}}}
        other = {"type": "object", "properties": {"y": {"type": "string"}}}
        with pytest.raises(ValueError, match="two types would be called AB"):
            generate({"A": one, "AB": other})

    def test_source_of_each_kind(self) -> None:
        definitions = {
            "Few": {"type": "string", "enum": ["a", ""]},
            "Many": {"type": "integer", "enum": list(range(60))},
            "Odd": {"type": "object", "properties": {"os.version": {"type": "string"}}},
            "Plain": {"type": "object", "properties": {"Id": {"type": "string"}}},
            "Some": {"type": "array", "items": {"$ref": "#/definitions/Plain"}},
        }
        source = generator.generated({"apiVersion": "1.0", "definitions": definitions, "paths": {}})
        made: dict[str, Any] = {"__name__": "made"}
        exec(compile(source, "made", "exec"), made)
        assert typing.get_args(made["Few"]) == ("a", "")
        assert typing.get_args(made["Many"]) == tuple(range(60))
        assert made["Odd"].__annotations__.keys() == {"os.version"}
        assert made["Plain"].__total__ is made["Odd"].__total__ is True
        assert typing.get_args(made["Some"]) == (made["Plain"],)
        assert made["__all__"] == ("Few", "Many", "Odd", "Plain", "Some")
        assert max(map(len, source.splitlines())) <= 120
