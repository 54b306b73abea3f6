import { silentLog, systemRuntime } from "@millrace/core";
import { startChild, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readdir, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type AdminServer, type AdminServerOptions, createAdminServer } from "./admin-server.ts";
import type { AgentStatus } from "./agent-status.ts";

const status: AgentStatus = {
  ...{ agent: "a1", version: "1.2.3", pid: 7, uptimeSeconds: 5, state: "running" },
  ...{ ready: true, reason: "ready", configurationGeneration: 3 },
  ...{ paths: [], sources: [], channels: [], sinks: [] },
};

async function serve(
  t: TestContext,
  path: string,
  options: Partial<AdminServerOptions> = {},
): Promise<AdminServer> {
  const server = createAdminServer({
    ...{ path, files: systemRuntime.files, log: silentLog },
    status: () => status,
    reload: () => Promise.resolve(true),
    ...options,
  });
  await server.start();
  t.after(() => server.stop());
  return server;
}

function ask(socketPath: string, method: string, path: string) {
  return new Promise<{ code: number | undefined; body: unknown }>((resolve, reject) => {
    const asked = request({ socketPath, method, path }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () =>
        resolve({ code: response.statusCode, body: JSON.parse(text) as unknown }),
      );
    });
    asked.on("error", reject).end();
  });
}

test("a socket answers its own user alone, and is gone when it is stopped", async (t) => {
  const folder = await tempDirectory(t);
  const path = join(folder, "agent.sock");
  const server = await serve(t, path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await ask(path, "GET", "/status"), { code: 200, body: status });
  await server.stop();
  assert.deepEqual(await readdir(folder), []);
});

test("a reload is asked for by POST, and answered with how the agent is then", async (t) => {
  const path = join(await tempDirectory(t), "agent.sock");
  let accepts = true;
  let configurationGeneration = 3;
  await serve(t, path, {
    status: () => ({ ...status, configurationGeneration }),
    reload() {
      if (accepts) configurationGeneration++;
      return Promise.resolve(accepts);
    },
  });
  const reload = async (): Promise<unknown[]> => {
    const { body, code } = await ask(path, "POST", "/reload");
    return [code, (body as AgentStatus).configurationGeneration];
  };
  assert.deepEqual(await reload(), [200, 4]);
  accepts = false;
  assert.deepEqual(await reload(), [409, 4], "a refused one is no success");
  assert.equal((await ask(path, "GET", "/reload")).code, 404);
});

test("a request that fails is answered, and the next one is served", async (t) => {
  const path = join(await tempDirectory(t), "agent.sock");
  await serve(t, path, { reload: () => Promise.reject(new Error("no")) });
  assert.equal((await ask(path, "POST", "/reload")).code, 500);
  assert.equal((await ask(path, "GET", "/status")).code, 200);
});

test("a socket that a killed agent left is replaced", async (t) => {
  const path = join(await tempDirectory(t), "agent.sock");
  const program = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("listens"))`;
  const child = startChild(t, { command: [process.execPath, "--eval", program] });
  await child.says("listens");
  child.signal("SIGKILL");
  await child.exited();
  assert.ok((await stat(path)).isSocket());
  await serve(t, path);
  assert.equal((await ask(path, "GET", "/status")).code, 200);
});

test("a socket that somebody answers at is left to him: PORT_IN_USE", async (t) => {
  const path = join(await tempDirectory(t), "agent.sock");
  await serve(t, path);
  await assert.rejects(serve(t, path), {
    code: "PORT_IN_USE",
    message: `socket ${path}: another agent answers there`,
  });
  assert.equal((await ask(path, "GET", "/status")).code, 200);
});

test("what can be no socket is LISTEN_FAILED, with the reason, and no file is taken away", async (t) => {
  const folder = await tempDirectory(t);
  const file = join(folder, "file");
  await writeFile(file, "mine");
  const long = join(folder, "x".repeat(120));
  for (const [path, why] of [
    [file, "there is a file that is no socket"],
    [long, "a path may have 107 bytes; choose a shorter one"],
    [join(folder, "none", "agent.sock"), "its directory does not exist"],
  ] as const) {
    await assert.rejects(serve(t, path), {
      code: "LISTEN_FAILED",
      message: `socket ${path}: ${why}`,
    });
  }
  assert.equal(await systemRuntime.files.stat(file).then(({ size }) => size), 4);
});
