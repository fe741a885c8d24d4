"""Joining JavaScript modules into one script."""

import pytest

from edgecnn.pages.linking import joined

MODULES = {
    "a.js": 'import { one, two as deux } from "./b.js";\nimport {\n  three,\n} from "./c.js";\n\none(deux, three);\n',
    "b.js": 'import { three } from "./c.js";\nexport const one = 1;\nexport function two() {\n  return three;\n}\n',
    "c.js": "export async function three() {}\nconst one = 0;\n",
}


def test_runs_each_module_once_after_its_imports():
    script = joined(("a.js", "c.js"), MODULES.__getitem__)
    assert [line for line in script.splitlines() if "=> {" in line] == [
        "const module_c = (() => {",
        "const module_b = (() => {",
        "const module_a = (() => {",
    ]
    assert "const { one, two: deux } = module_b;" in script
    assert "return { one, two };" in script
    assert not any(line.startswith(("import", "export")) for line in script.splitlines())


@pytest.mark.parametrize(
    "line", ['import "./b.js";', "export default 1;", "export { a };", 'import * as b from "./b.js";']
)
def test_rejects_other_forms(line: str):
    with pytest.raises(ValueError, match="cannot be joined"):
        joined(("a.js",), {"a.js": line}.__getitem__)


def test_rejects_circular_imports():
    with pytest.raises(ValueError, match=r"circular import: a.js -> b.js -> a.js"):
        joined(
            ("a.js",), {n: f'import {{ x }} from "./{m}.js";\n' for n, m in (("a.js", "b"), ("b.js", "a"))}.__getitem__
        )
