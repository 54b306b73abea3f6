import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { chart, findHelm, goldenPath, newestKubernetes, readGolden, valueFiles, valuesFolder } from "./harness/render.ts"; // prettier-ignore

const rewrites = process.env["UPDATE"] === "1";

void test("there is a golden file for each file of values, and no other", () => {
  assert.ok(valueFiles.length >= 14, `${valueFiles.length} files of values only`);
  if (rewrites) return;
  const golden = readdirSync(dirname(goldenPath("x"))).map((name) => name.replace(".yaml", ""));
  assert.deepEqual(golden.sort(), valueFiles);
});

for (const name of valueFiles) {
  void test(`the chart renders ${name} as its golden file says`, async (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const text = withoutCopies(helm.render({ values: name }).text);
    if (rewrites) await writeFile(goldenPath(name), text);
    assert.equal(text, readGolden(name), "UPDATE=1 npm run test:helm golden writes them anew");
  });

  void test(`helm lint --strict has nothing to say of ${name}`, (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const values = ["-f", `${valuesFolder}/${name}.yaml`];
    const words = ["lint", "--strict", chart, ...values, "--kube-version", newestKubernetes];
    const { status, stdout, stderr } = helm.run(words);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /1 chart\(s\) linted, 0 chart\(s\) failed/);
  });
}

/** Rules and the dashboard are kept, and tested, where they are written. */
function withoutCopies(text: string): string {
  return text
    .split(/^---\n/m)
    .map((manifest) => {
      const copied = /^kind: PrometheusRule$/m.test(manifest)
        ? "spec:"
        : /^ {2}millrace\.json: \|$/m.test(manifest)
          ? "  millrace.json: |"
          : undefined;
      if (copied === undefined) return manifest;
      const [head = "", rest] = manifest.split(`${copied}\n`);
      assert.ok((rest ?? "").length > 1000, "the copy is not empty");
      return `${head}${copied}\n    # not kept here\n`;
    })
    .join("---\n");
}
