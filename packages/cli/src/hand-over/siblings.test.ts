import { silentLog, systemRuntime } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import {
  createDnsServer,
  createTestAuthority,
  numberedBatch,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openSiblings } from "./siblings.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const tls = {
  clientAuth: "none",
  includeProtocols: [],
  excludeProtocols: [],
  includeCipherSuites: [],
  excludeCipherSuites: [],
} as const;

void test("siblings that are found by several names show certificates for each its own", async (t) => {
  const folder = await tempDirectory(t);
  const authority = createTestAuthority();
  await writeFile(join(folder, "ca"), authority.certificatePem);
  const dns = await createDnsServer();
  t.after(() => dns.close());
  const received = new Map<string, number>();
  const hosts: string[] = [];
  for (const name of ["one.test", "two.test"]) {
    const { keyPem, chainPem } = authority.issue({ commonName: name, hosts: [name] });
    await writeFile(join(folder, name), keyPem + chainPem);
    const server = createAvroServer({
      ...{ host: "127.0.0.1", port: 0, clock: systemRuntime.clock, log: silentLog },
      transport: {
        compression: "none",
        tls: { ...tls, keystore: { path: join(folder, name), type: "PEM" } },
      },
      handler(batch) {
        // The first one is alive, and takes nothing.
        if (name === "one.test") return Promise.resolve("FAILED");
        received.set(name, (received.get(name) ?? 0) + batch.length);
        return Promise.resolve("OK");
      },
    });
    await server.start(never);
    t.after(() => server.stop(now));
    dns.set(name, { addresses: ["127.0.0.1"] });
    hosts.push(`dns://${name}:${server.port}?server=${dns.address}&family=4`);
  }
  const siblings = openSiblings({
    ...{ hosts, runtime: systemRuntime, log: silentLog, systemProperties: new Map() },
    isSelf: () => false,
    properties: new Map(Object.entries({ ssl: "true", truststore: join(folder, "ca"), "truststore-type": "PEM" })), // prettier-ignore
  });
  t.after(() => siblings.close());
  assert.equal(await siblings.start(never), 2);
  await assert.rejects(siblings.deliver(numberedBatch(1, 5), never), { code: "RPC_STATUS_FAILED" });
  await siblings.deliver(numberedBatch(1, 5), never);
  assert.deepEqual([...received], [["two.test", 5]]);
});
