import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { exitCode } from "../exit-code.ts";
import { runCommand } from "../program.ts";

const whole = `
a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = avro
a1.sources.r.bind = 0.0.0.0
a1.sources.r.port = 4141
a1.sources.r.channels = c
a1.channels.c.type = memory
a1.sinks.k.type = null
a1.sinks.k.channel = c
`;
const noted = whole
  .replaceAll("a1.", "a2.")
  .concat("a2.sources.r.threads = 5\na2.channels.c.capacitty = 5\n");
const undecided = whole
  .replaceAll("a1.", "a3.")
  .replace("type = null", "type = com.acme.flume.AuditSink")
  .concat(
    "a3.sources.r.interceptors = i\na3.sources.r.interceptors.i.type = com.acme.Mask$Builder\n",
  );

async function inventory(t: TestContext, texts: Readonly<Record<string, string>>, more = "") {
  const folder = await tempDirectory(t);
  for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
  const lines = { out: "", err: "" };
  const names = Object.keys(texts).map((name) => join(folder, name));
  const words = ["check", "--inventory", ...names, ...more.split(" ").filter(Boolean)];
  const code = await runCommand("millrace", words, {
    out: (text) => void (lines.out += `${text}\n`),
    err: (text) => void (lines.err += `${text}\n`),
  });
  return { code, err: lines.err, out: lines.out.replaceAll(`${folder}/`, "") };
}

test("an inventory says of each agent whether it runs as it is, with notes, or needs a decision", async (t) => {
  const { code, out, err } = await inventory(t, {
    "one.conf": whole,
    "two.conf": noted + undecided,
  });
  assert.equal(err, "");
  assert.equal(code, exitCode.configuration);
  assert.match(out, /^one\.conf a1: runs as it is\ntwo\.conf a2: runs with notes\n/);
  assert.match(out, /\n {2}note: two\.conf:\d+: a2\.sources\.r\.threads: /);
  assert.match(out, /\n {2}warning: two\.conf:\d+: a2\.channels\.c\.capacitty: .*capacity/);
  assert.match(out, /\ntwo\.conf a3: needs a decision\n/);
  assert.match(
    out,
    /\n {2}error: two\.conf:\d+: a3\.sinks\.k\.type: "com\.acme\.flume\.AuditSink"/,
  );
  assert.match(
    out,
    /\n {2}error: .*a3\.sources\.r\.interceptors\.i\.type: "com\.acme\.Mask\$Builder"/,
  );
  // The folder's name, taken out above, has left its width behind.
  const table = out.slice(out.indexOf("\n\n") + 2).replace(/^file +agent/, "file      agent");
  assert.equal(
    table,
    `file      agent  verdict           errors  warnings  notes
one.conf  a1     runs as it is     0       0         0
two.conf  a2     runs with notes   0       1         1
two.conf  a3     needs a decision  2       0         0

3 agents in 2 files: 1 runs as it is, 1 runs with notes, 1 needs a decision
`,
  );
});

test("an inventory without a decision to take ends with 0", async (t) => {
  const { code, out } = await inventory(t, { "one.conf": whole, "two.conf": noted });
  assert.equal(code, exitCode.ok);
  assert.match(
    out,
    /2 agents in 2 files: 1 runs as it is, 1 runs with notes, 0 needs a decision\n$/,
  );
});

test("a file that has no agent, or cannot be read, needs a decision", async (t) => {
  const { code, out } = await inventory(t, { "empty.conf": "# nothing\n" }, "/does/not/exist.conf");
  assert.equal(code, exitCode.configuration);
  assert.match(out, /empty\.conf: needs a decision\n {2}error: empty\.conf: lists no agent's/);
  assert.match(out, /\/does\/not\/exist\.conf: needs a decision\n {2}error: .*no such file/);
  assert.match(out, /0 agents in 2 files: .*2 needs a decision\n$/);
});

test("-D words are taken into account", async (t) => {
  const text = whole.replace("= 4141", "= ${sys:port}");
  const without = await inventory(t, { "one.conf": text });
  assert.equal(without.code, exitCode.configuration);
  const { code, out } = await inventory(t, { "one.conf": text }, "-Dport=4141");
  assert.equal(code, exitCode.ok, out);
});

for (const { words, want } of [
  { words: ["--inventory"], want: "--inventory names no file" },
  { words: ["--inventory", "a.conf", "--fly"], want: "Unknown option '--fly'" },
]) {
  test(`check ${words.join(" ")} says what is wrong and ends with 1`, async () => {
    let err = "";
    const code = await runCommand("millrace", ["check", ...words], {
      out: () => assert.fail("nothing is said"),
      err: (text) => void (err += text),
    });
    assert.equal(code, exitCode.usage);
    assert.ok(err.startsWith(`millrace check: ${want}`), err);
  });
}
