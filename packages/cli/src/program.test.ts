import assert from "node:assert/strict";
import test from "node:test";
import { exitCode } from "./exit-code.ts";
import { runCommand } from "./program.ts";

async function run(line: string, program: "millrace" | "flume-ng" = "millrace") {
  let out = "";
  let err = "";
  const code = await runCommand(program, line === "" ? [] : line.split(" "), {
    out: (text) => void (out += `${text}\n`),
    err: (text) => void (err += `${text}\n`),
  });
  return { code, out, err };
}

test("version is one of the package", async () => {
  for (const line of ["version", "--version"]) {
    const { code, out } = await run(line);
    assert.equal(code, exitCode.ok);
    assert.match(out, /^Millrace \d+\.\d+\.\d+\nNode\.js \d/);
  }
});

test("help names every command, every option and every exit code", async () => {
  for (const line of ["help", "--help", "agent -h", "check --help"]) {
    const { code, out } = await run(line, "flume-ng");
    assert.equal(code, exitCode.ok);
    assert.match(out, /^usage: flume-ng <command>/);
    for (const word of ["agent", "check", "version", "--conf-file", "--lenient", "-D<name>"]) {
      assert.ok(out.includes(word), word);
    }
    for (const number of Object.values(exitCode))
      assert.match(out, new RegExp(`^  ${number}  `, "m"));
  }
});

for (const { line, want } of [
  { line: "", want: "millrace: no command given" },
  { line: "-n a1", want: "millrace: no command given" },
  { line: "fly", want: "millrace: unknown command fly" },
  { line: "avro-client -H x", want: "millrace: avro-client is not supported in this version" },
  { line: "agent -f x", want: "millrace agent: -n <agent> is missing" },
  { line: "check -n a1", want: "millrace check: -f <file> is missing" },
]) {
  test(`"millrace ${line}" says what is wrong, shows the help, and ends with 1`, async () => {
    const { code, out, err } = await run(line);
    assert.equal(code, exitCode.usage);
    assert.equal(out, "");
    assert.ok(err.startsWith(want), err);
    assert.match(err, /\nusage: millrace/);
  });
}
