import { type ErrorCode, MillraceError, systemClock, systemRuntime } from "@millrace/core";
import {
  createTestAuthority,
  encodeJks,
  encodePkcs12,
  tempDirectory,
  testTls,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createSecureContext } from "node:tls";
import { readKeyStore, readTrustStore } from "./store.ts";

const { files } = systemRuntime;
const reader = { files, nowMs: systemClock.now() };

async function stores(t: TestContext) {
  const directory = await tempDirectory(t);
  return { directory, ...(await writeTestStores(directory)) };
}

async function refused(read: Promise<unknown>, message: RegExp): Promise<void> {
  const code: ErrorCode = "TLS_STORE_INVALID";
  await assert.rejects(read, (error) => {
    assert.ok(error instanceof MillraceError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

test("a keystore of any type gives the same key and the same chain", async (t) => {
  const { server, password } = await stores(t);
  const { chainPem, key } = testTls().server;
  const given = [
    { path: server.jks, type: "JKS", password },
    { path: server.p12, type: "PKCS12", password },
    { path: server.pem, type: "PEM", keyPath: server.keyPem },
  ] as const;
  for (const store of given) {
    const read = await readKeyStore(store, reader);
    assert.equal(read.chainPem, chainPem, store.type);
    assert.ok(createPrivateKey(read.keyPem).equals(key), store.type);
    assert.equal(read.certificate.subject, "CN=server");
    createSecureContext({ key: read.keyPem, cert: read.chainPem });
  }
});

test("a truststore of any type gives the same certificates", async (t) => {
  const { trust, password } = await stores(t);
  for (const [path, type] of [
    [trust.jks, "JKS"],
    [trust.p12, "PKCS12"],
    [trust.pem, "PEM"],
  ] as const) {
    const read = await readTrustStore({ path, type, password }, reader);
    assert.deepEqual(read.certificatePems, [testTls().authority.certificatePem], type);
  }
});

test("what a file is counts, not what it is said to be, as in Java since 9", async (t) => {
  const { server, trust, password } = await stores(t);
  const { certificate } = await readKeyStore({ path: server.p12, type: "JKS", password }, reader);
  assert.equal(certificate.subject, "CN=server");
  const trusted = await readTrustStore({ path: trust.jks, type: "PKCS12", password }, reader);
  assert.equal(trusted.certificatePems.length, 1);
  const pem = await readTrustStore({ path: trust.pem, type: "JKS" }, reader);
  assert.equal(pem.certificatePems.length, 1);
});

test("a JKS truststore is read without its password, as in Java (T091)", async (t) => {
  const { trust, server } = await stores(t);
  const read = await readTrustStore({ path: trust.jks, type: "JKS" }, reader);
  assert.equal(read.certificatePems.length, 1);
  const ofServer = await readTrustStore({ path: server.jks, type: "JKS" }, reader);
  assert.equal(ofServer.certificatePems.length, 2, "a chain beside a key is believed too");
});

test("one PEM file may hold the key and the chain in any order, the key encrypted", async (t) => {
  const { directory } = await stores(t);
  const { server, authority } = testTls();
  const keyPem = server.key.export({
    ...{ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" },
  } as const);
  const path = join(directory, "all.pem");
  await writeFile(path, `${authority.certificatePem}text\n${keyPem as string}${server.certificatePem}`); // prettier-ignore
  const read = await readKeyStore({ path, type: "PEM", password: "secret" }, reader);
  assert.equal(read.chainPem, server.chainPem, "the key's own certificate comes first");
  await refused(
    readKeyStore({ path, type: "PEM", password: "wrong" }, reader),
    /all\.pem has a private key that keystore-password does not open/,
  );
  await refused(readKeyStore({ path, type: "PEM" }, reader), /encrypted private key; give its/);
});

test("RSA keys are read from every type", async (t) => {
  const directory = await tempDirectory(t);
  const rsa = createTestAuthority().issue({ commonName: "rsa", keyType: "rsa" });
  const write = async (name: string, bytes: Buffer): Promise<string> => {
    await writeFile(join(directory, name), bytes);
    return join(directory, name);
  };
  const given = [
    { path: await write("rsa.jks", encodeJks(rsa, "pw")), type: "JKS", password: "pw" },
    { path: await write("rsa.p12", encodePkcs12(rsa, "pw")), type: "PKCS12", password: "pw" },
  ] as const;
  for (const store of given) {
    const read = await readKeyStore(store, reader);
    assert.ok(createPrivateKey(read.keyPem).equals(rsa.key), store.type);
    assert.equal(read.chainPem, rsa.chainPem);
  }
});

test("a password that is wrong or missing is said", async (t) => {
  const { server, trust } = await stores(t);
  const wrong = { password: "wrong" };
  await refused(readKeyStore({ path: server.jks, type: "JKS", ...wrong }, reader), /server\.jks is not opened by its password, or is damaged/); // prettier-ignore
  await refused(readKeyStore({ path: server.p12, type: "PKCS12", ...wrong }, reader), /server\.p12 is not opened by its password/); // prettier-ignore
  await refused(readKeyStore({ path: server.jks, type: "JKS" }, reader), /needs keystore-password/);
  await refused(readTrustStore({ path: trust.p12, type: "PKCS12" }, reader), /trust\.p12 is PKCS12, which cannot be read without its password/); // prettier-ignore
});

test("a file that is not there, not a file, not readable or none of the types is said", async (t) => {
  const { directory, server } = await stores(t);
  const at = (path: string) => readKeyStore({ path, type: "JKS", password: "x" }, reader);
  await refused(at(join(directory, "none.jks")), /keystore .*none\.jks does not exist; correct the path/); // prettier-ignore
  await mkdir(join(directory, "folder"));
  await refused(at(join(directory, "folder")), /folder is not a file/);
  const odd = join(directory, "odd");
  await writeFile(odd, "hello");
  await refused(at(odd), /is neither JKS, PKCS12 nor PEM; it begins with 68656c6c/);
  await writeFile(odd, "");
  await refused(at(odd), /it begins with nothing/);
  await writeFile(odd, Buffer.from("cececece00000002", "hex"));
  await refused(at(odd), /is of type JCEKS, which is not supported; make it PKCS12: keytool/);
  await writeFile(odd, Buffer.alloc(16 * 1024 * 1024 + 1, 1));
  await refused(at(odd), /has 16777217 bytes, over 16777216/);
  await refused(
    readKeyStore({ path: server.pem, type: "PEM", keyPath: join(directory, "no.key") }, reader),
    /keystore .*no\.key does not exist/,
  );
});

test("a file that this user may not read is said", async (t) => {
  const { server } = await stores(t);
  await chmod(server.pem, 0);
  const denied = Object.assign(new Error("EACCES"), { code: "EACCES" });
  const noRight = { ...files, open: () => Promise.reject(denied) };
  await refused(
    readTrustStore({ path: server.pem, type: "PEM" }, { ...reader, files: noRight }),
    /server\.pem may not be read by this user; give it the permission/,
  );
});

test("a store without what is asked of it is said", async (t) => {
  const { directory, trust, server, password } = await stores(t);
  const noKey = /trust\.(jks|p12) holds no private key; it may be a truststore/;
  await refused(readKeyStore({ path: trust.jks, type: "JKS", password }, reader), noKey);
  await refused(readKeyStore({ path: trust.p12, type: "PKCS12", password }, reader), noKey);
  await refused(readKeyStore({ path: server.pem, type: "PEM" }, reader), /no private key; name the key's file as keystore-key/); // prettier-ignore
  await refused(readTrustStore({ path: server.keyPem, type: "PEM" }, reader), /holds no certificate/); // prettier-ignore
  const keyOnly = join(directory, "key-only.pem");
  await writeFile(keyOnly, testTls().server.keyPem);
  await refused(readKeyStore({ path: keyOnly, type: "PEM" }, reader), /holds no certificate/);
});

test("a certificate that is not the key's is said, with the names that are there", async (t) => {
  const { server, client } = await stores(t);
  await refused(
    readKeyStore({ path: server.pem, type: "PEM", keyPath: client.keyPem }, reader),
    /server\.pem holds no certificate of its private key, only CN=server, CN=Millrace test authority/,
  );
});

test("a certificate out of its time is said, with its name and day", async (t) => {
  const directory = await tempDirectory(t);
  const { authority } = testTls();
  const old = authority.issue({ commonName: "old", validFromDays: -9, validToDays: -1 });
  const path = join(directory, "old.pem");
  await writeFile(path, old.chainPem + old.keyPem);
  await refused(readKeyStore({ path, type: "PEM" }, reader), /old\.pem has a certificate that has expired: CN=old on .*GMT; put in a new one/); // prettier-ignore
  const dayMs = 86_400_000;
  const early = { ...reader, nowMs: reader.nowMs - 20 * dayMs };
  await refused(readKeyStore({ path, type: "PEM" }, early), /is not valid yet: CN=old from/);
  await writeFile(path, old.certificatePem);
  await refused(readTrustStore({ path, type: "PEM" }, reader), /no certificate that is valid today: it has one that has expired: CN=old/); // prettier-ignore
  await writeFile(path, old.certificatePem + authority.certificatePem);
  const some = await readTrustStore({ path, type: "PEM" }, reader);
  assert.equal(some.certificatePems.length, 2);
  assert.equal(new X509Certificate(some.certificatePems[0] ?? "").subject, "CN=old");
});

test("damaged stores are an error that names the file, never a crash", async (t) => {
  const { directory, server, trust, password } = await stores(t);
  const path = join(directory, "damaged");
  let refusedCount = 0;
  let seed = 1;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  for (const original of [server.jks, server.p12, server.pem, trust.jks, trust.p12, trust.pem]) {
    const bytes = await readFile(original);
    for (let i = 0; i < 12; i++) {
      const damaged = Buffer.from(bytes.subarray(0, random(4) === 0 ? random(bytes.length) : undefined)); // prettier-ignore
      for (let flips = 0; flips < 4 && damaged.length > 0; flips++) {
        damaged[random(damaged.length)] = random(256);
      }
      await writeFile(path, damaged);
      for (const read of [readKeyStore, readTrustStore]) {
        try {
          await read({ path, type: "JKS", password }, reader);
        } catch (error) {
          assert.ok(error instanceof MillraceError, String(error));
          assert.equal(error.code, "TLS_STORE_INVALID");
          assert.ok(error.message.includes(path), error.message);
          refusedCount++;
        }
      }
    }
  }
  assert.ok(refusedCount > 40, `only ${refusedCount} were refused`);
});
