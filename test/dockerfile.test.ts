/** The Dockerfile, as no engine builds it here: rules that can be seen in its text. */
import { projectRoot } from "@millrace/testing";
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

interface Instruction {
  readonly name: string;
  readonly words: string;
}

const text = readFileSync(join(projectRoot, "deploy", "docker", "Dockerfile"), "utf8");
const instructions = parseDockerfile(text);
const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === "FROM"));
const wordsOf = (name: string, among: readonly Instruction[] = instructions): string[] =>
  among.filter((each) => each.name === name).map(({ words }) => words);

/** A line an instruction; comments are gone, continued lines are joined. */
function parseDockerfile(content: string): Instruction[] {
  const lines = content
    .replace(/^\s*#.*\n/gm, "")
    .replace(/\\\n\s*/g, " ")
    .split("\n")
    .filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const match = /^([A-Z]+) (.+)$/.exec(line);
    assert.ok(match, `not an instruction: ${line}`);
    return { name: match[1] as string, words: (match[2] as string).trim() };
  });
}

test("the image has a build stage and a stage that takes only the assembled root from it", () => {
  const stages = wordsOf("FROM");
  assert.equal(stages.length, 2);
  assert.match(stages[0] ?? "", /^--platform=\$BUILDPLATFORM \$\{NODE_IMAGE\} AS build$/);
  assert.equal(stages[1], "${NODE_IMAGE}");
  assert.deepEqual(wordsOf("COPY", lastStage), ["--from=build /image /"]);
  assert.ok(wordsOf("RUN").some((words) => words.includes("scripts/image/assemble.mjs /image")));
  assert.ok(existsSync(join(projectRoot, "scripts/image/assemble.mjs")));
});

test("the image's base is a long-term Node on a named Debian, pinned by its tag", () => {
  const base = wordsOf("ARG").find((words) => words.startsWith("NODE_IMAGE="));
  assert.match(
    base ?? "",
    /^NODE_IMAGE=docker\.io\/library\/node:(24|26)-[a-z]+-slim(@sha256:[0-9a-f]{64})?$/,
  );
});

test("the image starts without a shell, as a user by number who is not root", () => {
  assert.deepEqual(wordsOf("ENTRYPOINT"), ['["node", "/app/packages/cli/bin/millrace.js"]']);
  assert.deepEqual(wordsOf("CMD"), ['["help"]']);
  assert.deepEqual(wordsOf("USER", lastStage), ["10001:10001"]);
  assert.deepEqual(wordsOf("STOPSIGNAL"), ["SIGTERM"]);
  const order = lastStage.map(({ name }) => name);
  assert.ok(order.indexOf("USER") > order.lastIndexOf("RUN"), "what runs after USER runs as it");
});

test("the image declares no volume, adds nothing from elsewhere, and is built without downloads but npm's", () => {
  for (const name of ["VOLUME", "ADD", "MAINTAINER", "ONBUILD", "SHELL"]) {
    assert.deepEqual(wordsOf(name), [], name);
  }
  for (const words of wordsOf("RUN")) {
    assert.doesNotMatch(words, /\b(curl|wget|apt-get|npm (i|install)|sudo|chmod 777)\b/);
  }
  assert.ok(wordsOf("RUN").some((words) => words.startsWith("npm ci --omit=optional")));
  assert.deepEqual(
    wordsOf("ENV").filter((words) => /TOKEN|PASSWORD|SECRET/i.test(words)),
    [],
  );
});

test("every package's manifest is there before npm ci, or a workspace would be missing", () => {
  const copied = wordsOf("COPY")
    .map((words) => /^packages\/(\S+)\/package\.json packages\/\1\/$/.exec(words)?.[1])
    .filter((name) => name !== undefined);
  assert.deepEqual(copied, readdirSync(join(projectRoot, "packages")).sort());
});

test("the image says what it is in the labels of the OCI", () => {
  const labels = wordsOf("LABEL", lastStage).join(" ");
  const names = ["title", "description", "licenses", "version", "revision", "created", "source"];
  for (const name of [...names, "base.name"]) {
    assert.match(labels, new RegExp(`org\\.opencontainers\\.image\\.${name}="`));
  }
  assert.match(labels, /base\.name="\$\{NODE_IMAGE\}"/, "a mirror's image has the mirror's name");
  const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
    version: string;
  };
  assert.ok(wordsOf("ARG").includes(`VERSION=${version}`), `VERSION is not ${version}`);
});

test("the README of the image holds the line that the chart's message quotes", () => {
  const readme = readFileSync(join(projectRoot, "deploy/docker/README.md"), "utf8");
  const line =
    "set image.repository; build with: docker build -t REGISTRY/millrace:VERSION -f deploy/docker/Dockerfile . (deploy/docker/README.md)";
  assert.ok(readme.includes(line));
});
