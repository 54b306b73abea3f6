import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { tempDirectory } from "@millrace/testing";
import {
  chart,
  findHelm,
  newestKubernetes,
  parseManifests,
  root,
  valuesFolder,
} from "./harness/render.ts";
import { splitWords } from "../../packages/cli/src/words/split-words.ts";
import { parseStatusWords } from "../../packages/cli/src/words/status-words.ts";

/** What NOTES.txt prints; Helm renders it for an install only, so that here it stands in a ConfigMap. */
async function notes(
  context: TestContext,
  values: string,
  set: readonly string[] = [],
): Promise<string | undefined> {
  const helm = findHelm(context);
  if (helm === undefined) return undefined;
  const copy = join(await tempDirectory(context), "millrace");
  cpSync(chart, copy, { recursive: true });
  const templates = join(copy, "templates");
  const text = readFileSync(join(templates, "NOTES.txt"), "utf8");
  rmSync(join(templates, "NOTES.txt"));
  writeFileSync(join(templates, "_notes.tpl"), `{{- define "notes" -}}\n${text}\n{{- end -}}\n`);
  const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: notes }\n";
  writeFileSync(join(templates, "notes.yaml"), `${head}data:\n  notes: |\n    {{- include "notes" . | nindent 4 }}\n`); // prettier-ignore
  const { status, stdout, stderr } = helm.run([
    ...["template", "millrace", copy, "-n", "logging", "-s", "templates/notes.yaml"],
    ...["--kube-version", newestKubernetes, "-f", join(valuesFolder, `${values}.yaml`)],
    ...set.flatMap((word) => ["--set", word]),
  ]);
  assert.equal(status, 0, stderr);
  return parseManifests(stdout)[0]?.data?.["notes"];
}

const cases = [
  {
    values: "default",
    says: [
      "Guarantee: at least once. Duplicates are possible, loss is not.",
      "holds up to 4.0 GiB a node while no collector can be reached: 1.1 hours at 1 MiB/s",
      "it leaves 20% of the disk free",
      "holds up to 40.0 GiB a collector while the sink is down",
      "has 300 s to empty itself when it is stopped, the last 100 s of them to hand over",
      "TLS: mutual, secret millrace-tls (mode chart). helm upgrade renews it in the last third of its 1095 days",
      "helm test millrace -n logging",
    ],
  },
  {
    values: "memory",
    says: [
      "Guarantee: best effort. Events may be lost.",
      "what a collector holds when it ends is LOST",
    ],
  },
  {
    values: "direct",
    says: ["nothing is held, the log file is the buffer", "when the sink has its batch"],
  },
  { values: "plaintext", says: ["TLS: NONE, every event crosses the network in plain text"] },
  { values: "locked-down", says: ["NOTE: helm uninstall deletes the volumes", "Pods wait until it exists"] }, // prettier-ignore
  { values: "existing-config-map", says: ["runs your own configuration: `millrace check` prints"] },
  { values: "autoscaling", says: ["collector, 3 to 12", "has 600 s to empty itself"] },
  { values: "roll", says: ["A changed configuration is rolled out pod by pod"] },
];
for (const { values, says } of cases) {
  void test(`NOTES.txt of ${values} prints what is promised and how much is held`, async (context) => {
    const text = await notes(context, values);
    if (text === undefined) return;
    for (const line of says) assert.ok(text.includes(line), `${line}\nis not in\n${text}`);
  });
}

for (const { clientAuth, says } of [
  { clientAuth: "wanted", says: "TLS: collectors show a certificate, senders may, secret" },
  { clientAuth: "none", says: "TLS: collectors show a certificate, senders need none, secret" },
]) {
  void test(`NOTES.txt does not call TLS mutual with clientAuth ${clientAuth}`, async (context) => {
    const text = await notes(context, "default", [`tls.clientAuth=${clientAuth}`]);
    if (text === undefined) return;
    assert.ok(text.includes(says), text);
    assert.ok(!text.includes("mutual"), text);
  });
}

void test("NOTES.txt names no test where there is none", async (context) => {
  for (const values of ["edge-only", "collector-only"]) {
    const text = await notes(context, values);
    if (text === undefined) return;
    assert.ok(!text.includes("helm test"), text);
  }
});

void test("the commands that NOTES.txt and the guide give ask addresses that there are", async (context) => {
  const text = await notes(context, "default");
  if (text === undefined) return;
  const guide = readFileSync(join(root, "docs/kubernetes.md"), "utf8").replaceAll("\\\n", " ");
  for (const given of [text, guide]) {
    const [, line = ""] = /-- (millrace status .*)/.exec(given) ?? [];
    const words = parseStatusWords(splitWords(line.trim().split(/\s+/).slice(1)), "status");
    assert.ok(words !== "help" && !("problem" in words), line);
    const hosts = ["millrace-edge", "millrace-collector-headless"];
    assert.deepEqual(words.addresses, hosts.map((host) => `dns://${host}:41414`)); // prettier-ignore
  }
});
