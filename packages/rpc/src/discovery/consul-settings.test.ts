import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type AgentAddress, type Environment, readConsulSettings } from "./consul-settings.ts";

const plain = { secure: false, host: "127.0.0.1", port: 8500 };
const cases: {
  agent?: string;
  environment?: Environment;
  want: AgentAddress;
  shown: string;
}[] = [
  { want: plain, shown: "127.0.0.1:8500" },
  { environment: { CONSUL_HTTP_ADDR: "" }, want: plain, shown: "127.0.0.1:8500" },
  {
    environment: { CONSUL_HTTP_ADDR: "consul.example" },
    want: { ...plain, host: "consul.example" },
    shown: "consul.example",
  },
  {
    environment: { CONSUL_HTTP_ADDR: "h:80", CONSUL_HTTP_SSL: "true" },
    want: { secure: true, host: "h", port: 80 },
    shown: "h:80",
  },
  {
    environment: { CONSUL_HTTP_ADDR: "https://h:8501" },
    want: { secure: true, host: "h", port: 8501 },
    shown: "https://h:8501",
  },
  { agent: "https://h", want: { secure: true, host: "h", port: 443 }, shown: "https://h" },
  { agent: "http://h/", want: { secure: false, host: "h", port: 80 }, shown: "http://h/" },
  { agent: "[::1]:8500", want: { ...plain, host: "::1" }, shown: "[::1]:8500" },
  {
    agent: "unix:///run/consul.sock",
    want: { secure: false, host: "localhost", port: 80, socketPath: "/run/consul.sock" },
    shown: "unix:///run/consul.sock",
  },
  {
    agent: "given:1",
    environment: { CONSUL_HTTP_ADDR: "not:2" },
    want: { ...plain, host: "given", port: 1 },
    shown: "given:1",
  },
];
for (const { agent, environment = {}, want, shown } of cases) {
  test(`the agent ${agent ?? JSON.stringify(environment)} is ${shown}`, () => {
    const settings = readConsulSettings({ ...(agent === undefined ? {} : { agent }), environment });
    assert.deepEqual(settings.address, want);
    assert.equal(settings.agent, shown);
  });
}

for (const text of [
  "h:x",
  "h:1/path",
  "user:secret@h:1",
  "ftp://h",
  "unix://h",
  "h h",
  "http://",
]) {
  test(`CONSUL_HTTP_ADDR = ${text} is CONFIG_INVALID, and says how to write it`, () => {
    assert.throws(() => readConsulSettings({ environment: { CONSUL_HTTP_ADDR: text } }), {
      code: "CONFIG_INVALID",
      message: /^CONSUL_HTTP_ADDR: .* is no address of a Consul agent; write host:port, https:/,
    });
  });
}

test("the token is the given file's, else the variable's, else the variable's file's, else none", async (t) => {
  const directory = await tempDirectory(t);
  const file = join(directory, "token");
  const other = join(directory, "other");
  await writeFile(file, "from the file\n");
  await writeFile(other, "from the variable's file");
  const CONSUL_HTTP_TOKEN_FILE = other;
  const all = { CONSUL_HTTP_TOKEN: "from the variable", CONSUL_HTTP_TOKEN_FILE };
  const token = (input: Parameters<typeof readConsulSettings>[0]): Promise<string | undefined> =>
    readConsulSettings(input).token();
  assert.equal(await token({ tokenFile: file, environment: all }), "from the file");
  assert.equal(await token({ environment: all }), "from the variable");
  const environment = { CONSUL_HTTP_TOKEN_FILE };
  assert.equal(await token({ environment }), "from the variable's file");
  assert.equal(await token({ environment: {} }), undefined);
  const settings = readConsulSettings({ tokenFile: file, environment: {} });
  await writeFile(file, "replaced");
  assert.equal(await settings.token(), "replaced", "it is read each time");
  await assert.rejects(token({ tokenFile: join(directory, "none"), environment: {} }), {
    code: "READ_FAILED",
    message: /the token file, .*none, cannot be read: ENOENT/,
  });
});

test("TLS files are read only where TLS is meant", async (t) => {
  const directory = await tempDirectory(t);
  const path = (name: string): string => join(directory, name);
  for (const name of ["ca", "cert", "key"]) await writeFile(path(name), name);
  const environment = {
    CONSUL_CACERT: path("ca"),
    CONSUL_CLIENT_CERT: path("cert"),
    CONSUL_CLIENT_KEY: path("key"),
    CONSUL_TLS_SERVER_NAME: "server.dc1.consul",
    CONSUL_HTTP_SSL_VERIFY: "false",
  };
  assert.deepEqual(await readConsulSettings({ environment }).tls(), {});
  assert.deepEqual(await readConsulSettings({ agent: "https://h", environment }).tls(), {
    ca: Buffer.from("ca"),
    cert: Buffer.from("cert"),
    key: Buffer.from("key"),
    servername: "server.dc1.consul",
    rejectUnauthorized: false,
  });
  const missing = { CONSUL_CACERT: path("none") };
  await assert.rejects(readConsulSettings({ agent: "https://h", environment: missing }).tls(), {
    code: "READ_FAILED",
    message: /CONSUL_CACERT, .*none/,
  });
});
