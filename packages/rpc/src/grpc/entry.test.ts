import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** The modules of packages that a process has loaded after importing an entry. */
function loadedBy(entry: string): string[] {
  const hook = `
    import { register } from "node:module";
    import { createRequire } from "node:module";
    const require = createRequire(${JSON.stringify(import.meta.url)});
    await import(${JSON.stringify(entry)});
    console.log(JSON.stringify(Object.keys(require.cache)));
  `;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--conditions=millrace-source", "--import=tsx", "--input-type=module", "--eval", hook],
    { cwd: fileURLToPath(new URL(".", import.meta.url)), encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as string[];
}

test("@millrace/rpc loads nothing of gRPC; @millrace/rpc/grpc does", () => {
  const isGrpc = (path: string): boolean => path.includes("@grpc");
  assert.deepEqual(loadedBy("@millrace/rpc").filter(isGrpc), []);
  assert.ok(loadedBy("@millrace/rpc/grpc").filter(isGrpc).length > 10);
});
