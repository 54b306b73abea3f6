import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { systemRuntime } from "@millrace/core";
import { createTestAuthority, tempDirectory } from "@millrace/testing";
import { runCommand } from "../program.ts";
import { createAuthority, issueCertificate } from "./certificate.ts";
import { findCluster } from "./cluster.ts";
import { createDirectoryPlace } from "./directory-place.ts";
import { renewCertificates } from "./renew.ts";
import { createSecretPlace } from "./secret-place.ts";
import { parseMakeCertsWords } from "./words.ts";

const dayMs = 86_400_000;
const nowMs = systemRuntime.clock.now();
const wanted = { names: ["millrace-collector", "collector.logging.svc"], days: 30, nowMs };

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const output = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
  };
  const mask = process.umask();
  const code = await runCommand("millrace", ["make-certs", ...args], output);
  process.umask(mask);
  return { code, ...said };
}

void test("certificates that were made let sender and receiver believe each other", async (context) => {
  const directory = join(await tempDirectory(context), "tls");
  const { code, out } = await run("--name", "millrace-collector", "--out", directory);
  assert.equal(code, 0, out);
  const read = (name: string): Promise<Buffer> => readFile(join(directory, name));
  const own = { ca: await read("ca.crt"), cert: await read("tls.crt"), key: await read("tls.key") };

  const server = createTlsServer({ ...own, requestCert: true, rejectUnauthorized: true });
  const opened = once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => server.close());
  await opened;
  const { port } = server.address() as AddressInfo;
  const received = once(server, "secureConnection");
  const socket = connect({ port, host: "127.0.0.1", servername: "millrace-collector", ...own });
  context.after(() => socket.destroy());
  await once(socket, "secureConnect");
  assert.equal(socket.authorized, true);
  const [peer] = (await received) as [TLSSocket];
  assert.equal(peer.authorized, true);
  assert.equal(peer.getPeerCertificate().subject.CN, "millrace-collector");
  peer.destroy();
});

void test("private keys are for their owner only", async (context) => {
  const directory = join(await tempDirectory(context), "tls");
  await run("--name", "c", "--out", directory);
  const names = (await readdir(directory)).sort();
  assert.deepEqual(names, ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
  for (const name of names) {
    assert.equal((await stat(join(directory, name))).mode & 0o077, 0, name);
  }
});

void test("certificates that are good stay, and are renewed by the same authority in their last third", async (context) => {
  const directory = await tempDirectory(context);
  const place = createDirectoryPlace(directory, systemRuntime.files);
  const read = (name: string): Promise<string> => readFile(join(directory, name), "utf8");
  assert.match(await renewCertificates(place, wanted), /an authority and a certificate/);
  const [authority, first] = [await read("ca.crt"), await read("tls.crt")];

  assert.match(
    await renewCertificates(place, { ...wanted, nowMs: nowMs + 19 * dayMs }),
    /and stays/,
  );
  assert.equal(await read("tls.crt"), first);
  assert.match(
    await renewCertificates(place, { ...wanted, nowMs: nowMs + 21 * dayMs }),
    /a new certificate, as the old one ends in 8 days|in 9 days/,
  );
  assert.notEqual(await read("tls.crt"), first);
  assert.equal(await read("ca.crt"), authority);
  const issued = new X509Certificate(await read("tls.crt"));
  assert.ok(issued.verify(new X509Certificate(authority).publicKey));
});

void test("a certificate that is not good for a new name is made again", async (context) => {
  const place = createDirectoryPlace(await tempDirectory(context), systemRuntime.files);
  await renewCertificates(place, wanted);
  const names = [...wanted.names];
  for (const name of ["10.0.0.7", "other.example", "*.more.example"]) {
    names.push(name);
    const said = await renewCertificates(place, { ...wanted, names });
    assert.ok(said.endsWith(`not good for ${name}`), said);
    assert.match(await renewCertificates(place, { ...wanted, names }), /and stays/);
  }
});

void test("a certificate of somebody else's authority stays as it is", async (context) => {
  const directory = await tempDirectory(context);
  const foreign = createTestAuthority().issue({ commonName: "mine" });
  await writeFile(join(directory, "tls.crt"), foreign.certificatePem);
  await writeFile(join(directory, "tls.key"), foreign.keyPem);
  const place = createDirectoryPlace(directory, systemRuntime.files);
  assert.match(await renewCertificates(place, wanted), /not ours, and stays/);
  assert.deepEqual((await readdir(directory)).sort(), ["tls.crt", "tls.key"]);
});

void test("a key that was written without its certificate is renewed with it: a crash between the two", async (context) => {
  const directory = await tempDirectory(context);
  const place = createDirectoryPlace(directory, systemRuntime.files);
  await renewCertificates(place, wanted);
  await writeFile(join(directory, "tls.key"), createAuthority("other", wanted).key);
  assert.match(
    await renewCertificates(place, wanted),
    /a new certificate, as the old one's key is/,
  );
  assert.match(await renewCertificates(place, wanted), /and stays/);
  await rm(join(directory, "tls.crt"));
  assert.match(await renewCertificates(place, wanted), /: a certificate, for 30 days/);
});

for (const names of [["ca.crt"], ["ca.key"], ["tls.crt"], ["tls.key"], ["ca.crt", "tls.key"]]) {
  void test(`a directory with ${names.join(" and ")} alone is somebody's, and nothing in it is overwritten`, async (context) => {
    const directory = await tempDirectory(context);
    for (const name of names) await writeFile(join(directory, name), "mine");
    const { code, err } = await run("--name", "c", "--out", directory);
    assert.equal(code, 3, err);
    assert.match(err, new RegExp(`has ${names.join(", ")} and not the rest`));
    assert.deepEqual((await readdir(directory)).sort(), names);
    for (const name of names) assert.equal(await readFile(join(directory, name), "utf8"), "mine");
  });
}

void test("an authority that cannot sign as ours do is refused before anything is written", async (context) => {
  const other = createTestAuthority();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const rsa = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const ours = createAuthority("a", wanted);
  for (const [certificate, key, says] of [
    [other.certificatePem, rsa, /cannot sign/],
    [ours.certificate, createAuthority("b", wanted).key, /cannot sign/],
    ["garbage", ours.key, /cannot be read/],
    [ours.certificate, "garbage", /cannot be read/],
  ] as const) {
    const directory = await tempDirectory(context);
    await writeFile(join(directory, "ca.crt"), certificate);
    await writeFile(join(directory, "ca.key"), key);
    const { code, err } = await run("--name", "c", "--out", directory);
    assert.equal(code, 3, err);
    assert.match(err, says);
    assert.deepEqual((await readdir(directory)).sort(), ["ca.crt", "ca.key"]);
  }
});

void test("no certificate outlives its authority, and one that has ended is said", async (context) => {
  const place = createDirectoryPlace(await tempDirectory(context), systemRuntime.files);
  await renewCertificates(place, wanted);
  const authorityDays = 3650;
  const late = { ...wanted, nowMs: nowMs + (authorityDays - 15) * dayMs };
  assert.match(
    await renewCertificates(place, late),
    /a new certificate.*; its authority ends on 20/,
  );
  const kept = await place.read();
  assert.ok(kept !== "foreign" && kept.authority !== undefined && kept.certificate !== undefined);
  const ends = [kept.authority, kept.certificate].map(({ certificate }) =>
    Date.parse(new X509Certificate(certificate).validTo),
  );
  assert.equal(ends[0], ends[1]);
  const over = { ...wanted, nowMs: nowMs + (authorityDays + 1) * dayMs };
  await assert.rejects(
    renewCertificates(place, over),
    /its authority has ended on 20.*make another/,
  );
});

void test("a certificate has the extensions that verifiers ask for, and a serial number of its own", () => {
  const authority = createAuthority("Some authority", wanted);
  const names = ["*.pool.logging.svc", "collector-headless", "10.1.2.3"];
  const leaves = [1, 2].map(() => issueCertificate(authority, names, wanted).certificate);
  const [first, second] = leaves.map((certificate) => new X509Certificate(certificate));
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(
    first.subjectAltName,
    "DNS:*.pool.logging.svc, DNS:collector-headless, IP Address:10.1.2.3",
  );
  assert.equal(first.checkHost("collector-0.pool.logging.svc"), "*.pool.logging.svc");
  assert.deepEqual(first.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.match(first.serialNumber, /^[4-7][0-9A-F]{31}$/);
  assert.notEqual(first.serialNumber, second.serialNumber);
  assert.equal(Date.parse(first.validTo), Math.floor((nowMs + 30 * dayMs) / 1000) * 1000);
  assert.ok(Date.parse(first.validFrom) < nowMs);
});

void test("an authority is one, and what it issues is none", () => {
  const authority = createAuthority("Some authority", { nowMs, days: 40_000 });
  const x509 = new X509Certificate(authority.certificate);
  assert.equal(x509.ca, true);
  assert.ok(Date.parse(x509.validTo) - nowMs > 39_999 * dayMs, "past 2050 too");
  const issued = issueCertificate(authority, ["a", "10.1.2.3"], { nowMs, days: 1 });
  const leaf = new X509Certificate(issued.certificate);
  assert.equal(leaf.ca, false);
  assert.ok(leaf.checkIssued(x509));
  assert.equal(leaf.checkIP("10.1.2.3"), "10.1.2.3");
  assert.equal(leaf.checkHost("b"), undefined);
});

const wrong = [
  { args: ["--out", "x"], says: /--name/ },
  { args: ["--name", "a b", "--out", "x"], says: /no host name/ },
  { args: ["--name", "a"], says: /--out <dir> or --secret/ },
  { args: ["--name", "a", "--out", "x", "--secret", "y"], says: /one of them/ },
  { args: ["--name", "a", "--secret", "y"], says: /needs --namespace/ },
  { args: ["--name", "a", "--secret", "../x", "--namespace", "n"], says: /no name of Kubernetes/ },
  { args: ["--name", "a", "--out", "x", "--days", "0"], says: /--days 0/ },
  { args: ["--nam", "a"], says: /--nam/ },
];
for (const { args, says } of wrong) {
  void test(`make-certs ${args.join(" ")} is not understood, and says why`, async () => {
    const { code, err } = await run(...args);
    assert.equal(code, 1);
    assert.match(err, says);
  });
}

void test("make-certs outside of a pod says how to do without one", async () => {
  await assert.rejects(findCluster({}, systemRuntime.files), /kubectl create secret/);
  assert.equal(parseMakeCertsWords(["-h"]), "help");
});

interface Stored {
  metadata: { name: string; resourceVersion?: string; labels?: Record<string, string> };
  data: Record<string, string>;
}

/** An API server that knows secrets, and believes one token. */
async function startSecrets(context: TestContext) {
  const authority = createTestAuthority();
  const { keyPem, chainPem } = authority.issue({ commonName: "api" });
  const secrets = new Map<string, Stored>();
  let version = 1;
  const requests: string[] = [];
  const refused = new Set<string>();
  const server = createServer({ key: keyPem, cert: chainPem }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const name = (request.url ?? "").split("/secrets/")[1] ?? "";
      const method = request.method ?? "";
      requests.push(`${method} ${request.url}`);
      const answer = (status: number, body: unknown): void => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(body));
      };
      if (request.headers.authorization !== "Bearer the-token") return answer(401, {});
      if (refused.has(method)) return answer(403, { message: `may not ${method}` });
      if (method === "GET") {
        const found = secrets.get(name);
        return found === undefined ? answer(404, {}) : answer(200, found);
      }
      const given = JSON.parse(Buffer.concat(chunks).toString()) as Stored;
      const old = secrets.get(given.metadata.name);
      if (method === "POST" && old !== undefined) return answer(409, {});
      if (method === "PUT" && old?.metadata.resourceVersion !== given.metadata.resourceVersion) {
        return answer(409, {});
      }
      given.metadata.resourceVersion = String(version++);
      secrets.set(given.metadata.name, given);
      answer(method === "POST" ? 201 : 200, given);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  const account = join(await tempDirectory(context), "account");
  await mkdir(account);
  await writeFile(join(account, "ca.crt"), authority.certificatePem);
  await writeFile(join(account, "token"), "the-token\n");
  await chmod(account, 0o700);
  const { port } = server.address() as AddressInfo;
  const environment = {
    KUBERNETES_SERVICE_HOST: "127.0.0.1",
    KUBERNETES_SERVICE_PORT: String(port),
  };
  const cluster = await findCluster(environment, systemRuntime.files, account);
  const place = createSecretPlace(cluster, "logging", "millrace-tls");
  return { secrets, requests, refused, place, cluster };
}

void test("secrets are made once, read again, and renewed in their last third", async (context) => {
  const { secrets, requests, place } = await startSecrets(context);
  assert.match(
    await renewCertificates(place, wanted),
    /secret logging\/millrace-tls: an authority/,
  );
  assert.deepEqual([...secrets.keys()], ["millrace-tls-ca", "millrace-tls"]);
  const made = secrets.get("millrace-tls")?.data ?? {};
  assert.deepEqual(Object.keys(made), ["ca.crt", "tls.crt", "tls.key"]);
  assert.ok(!JSON.stringify(made).includes(secrets.get("millrace-tls-ca")?.data["ca.key"] ?? "?"));

  requests.length = 0;
  assert.match(await renewCertificates(place, wanted), /and stays/);
  assert.ok(requests.length > 0 && requests.every((line) => line.startsWith("GET ")));

  await renewCertificates(place, { ...wanted, nowMs: nowMs + 25 * dayMs });
  const renewed = secrets.get("millrace-tls")?.data ?? {};
  assert.notEqual(renewed["tls.crt"], made["tls.crt"]);
  assert.equal(renewed["ca.crt"], made["ca.crt"]);
});

void test("two Jobs at once have one authority", async (context) => {
  const { secrets, place, cluster } = await startSecrets(context);
  const other = createSecretPlace(cluster, "logging", "millrace-tls");
  await Promise.all([renewCertificates(place, wanted), renewCertificates(other, wanted)]);
  const text = (key: string): string =>
    Buffer.from(secrets.get("millrace-tls")?.data[key] ?? "", "base64").toString();
  const authority = Buffer.from(secrets.get("millrace-tls-ca")?.data["ca.crt"] ?? "", "base64");
  assert.equal(text("ca.crt"), authority.toString());
  assert.ok(new X509Certificate(text("tls.crt")).checkIssued(new X509Certificate(authority)));
});

void test("a secret that somebody else made is left alone", async (context) => {
  const { secrets, requests, place } = await startSecrets(context);
  secrets.set("millrace-tls", { metadata: { name: "millrace-tls" }, data: {} });
  assert.match(await renewCertificates(place, wanted), /not ours, and stays/);
  assert.deepEqual(requests, ["GET /api/v1/namespaces/logging/secrets/millrace-tls"]);
});

void test("an API server that refuses is quoted, with what allows it", async (context) => {
  const { refused, place } = await startSecrets(context);
  refused.add("POST");
  await assert.rejects(
    renewCertificates(place, wanted),
    /answered 403: may not POST; the Role of the hook Job/,
  );
});
