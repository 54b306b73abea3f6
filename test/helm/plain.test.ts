import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { plainManifests, plainManifestsPath, plainManifestsWords } from "../../scripts/generate/chart-manifests.ts"; // prettier-ignore
import { findValidator } from "./harness/kubernetes-schemas.ts";
import { isWorkload, podOf } from "./harness/manifest.ts";
import { findHelm, newestKubernetes, oldestKubernetes, parseManifests, root } from "./harness/render.ts"; // prettier-ignore

const path = join(root, plainManifestsPath);

void test("the plain manifests are what the chart renders", async (context) => {
  const helm = findHelm(context);
  if (helm === undefined) return;
  const { status, stdout, stderr } = helm.run(plainManifestsWords, undefined, root);
  assert.equal(status, 0, stderr);
  const wanted = plainManifests(stdout);
  if (process.env["UPDATE"] === "1") await writeFile(path, wanted);
  assert.equal(await readFile(path, "utf8"), wanted, "UPDATE=1 npm run test:helm plain");
});

for (const version of [oldestKubernetes, newestKubernetes]) {
  void test(`Kubernetes ${version} takes the plain manifests`, async (context) => {
    const validate = findValidator(context, version);
    if (validate === undefined) return;
    const manifests = parseManifests(await readFile(path, "utf8"));
    assert.ok(manifests.length > 15, `${manifests.length} manifests only`);
    assert.deepEqual(
      manifests.flatMap((manifest) => validate(manifest)),
      [],
    );
  });
}

void test("the plain manifests know nothing of Helm, and the image that kustomize replaces", async () => {
  const text = await readFile(path, "utf8");
  assert.doesNotMatch(text, /helm\.sh|managed-by/);
  const manifests = parseManifests(text);
  assert.equal(manifests.filter(isWorkload).length, 2);
  const images = manifests.flatMap(
    (each) => podOf(each)?.containers.map(({ image }) => image) ?? [],
  );
  const folder = join(root, "deploy/kubernetes");
  const kustomization = parse(await readFile(join(folder, "kustomization.yaml"), "utf8")) as {
    resources: string[];
    images: { name: string }[];
  };
  assert.equal(images.length, 3);
  for (const image of images) assert.equal(image.split(":")[0], kustomization.images[0]?.name);
  for (const resource of kustomization.resources) await readFile(join(folder, resource));
});
