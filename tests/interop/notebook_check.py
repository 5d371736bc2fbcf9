#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/online_prediction.ipynb against a server: its cells run in order, as a kernel would run them, and a digit is drawn on
the canvas that it offers. With --write the outputs of that go into the notebook."""

import ast
import contextlib
import io
import json
import os
import re
import sys

import common
import console_check
import server
import strokes

NOTEBOOK = os.path.join(common.SOURCE_DIR, "docs/online_prediction.ipynb")


def run_cell(source, names):
    """(what was printed, the value of the last line as Jupyter shows it: {type: text})."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), NOTEBOOK, "exec"), names)
        value = eval(compile(ast.Expression(last.value), NOTEBOOK, "eval"), names) if last else None
    shown = {"text/html": getattr(value, "_repr_html_", None), "image/svg+xml": getattr(value, "_repr_svg_", None)}
    return printed.getvalue(), {kind: show() for kind, show in shown.items() if show}


def outputs_of(printed, shown, number):
    outputs = []
    if printed:
        outputs.append({"name": "stdout", "output_type": "stream", "text": printed.splitlines(True)})
    if shown:
        data = {kind: text.splitlines(True) for kind, text in shown.items()}
        outputs.append({"data": {**data, "text/plain": ["<shown>"]}, "execution_count": number, "metadata": {},
                        "output_type": "execute_result"})
    return outputs


def kinds(outputs):
    return [sorted(output.get("data", output)) for output in outputs]


def draw_on(canvas, figure):
    """Strokes on the page that the notebook offers."""
    with console_check.browser() as chromium:
        page = chromium.new_page()
        page.goto(canvas)
        for stroke in figure:
            page.mouse.move(*[2 * v for v in stroke[0]])
            page.mouse.down()
            for x, y in stroke[1:]:
                page.mouse.move(2 * x, 2 * y)
            with page.expect_response(canvas):
                page.mouse.up()


def main():
    with open(NOTEBOOK) as file:
        notebook = json.load(file)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 4, len(cells)
    os.chdir(os.path.dirname(NOTEBOOK))  # as Jupyter does
    with server.serving(os.path.join(common.RUN, "export/Servo")) as url:
        os.environ["LOCKSTEP_SERVER"] = url
        names = {}
        results = [run_cell("".join(cell["source"]), names) for cell in cells]
        for number, (cell, result) in enumerate(zip(cells, results), 1):
            made = outputs_of(*result, number)
            if "--write" in sys.argv:
                cell["outputs"], cell["execution_count"] = made, number
            assert kinds(cell["outputs"]) == kinds(made), f"outputs of cell {number} are not those of its source: --write"
        (models, _), (table, _), (_, frame), (said, chart) = results
        assert json.loads(models)["models"][0]["name"] == "mnist", models
        rows = [line.split() for line in table.splitlines()[1:11]]
        assert [(int(c), int(l)) for c, l, _ in rows] == [(d, d) for d in (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)], table
        assert table.endswith("the same classes: True\n"), table
        assert said == "class 7\n" and chart["image/svg+xml"].count("<rect") == 10, said
        draw_on(re.search(r'src="([^"]*)"', frame["text/html"])[1], strokes.BY_HAND[3])
        said, _ = run_cell("".join(cells[3]["source"]), names)
        assert said == "class 3\n", said
    if "--write" in sys.argv:
        with open(NOTEBOOK, "w") as file:
            file.write(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    print("the notebook predicts test images, a picture and a drawing")


if __name__ == "__main__":
    main()
