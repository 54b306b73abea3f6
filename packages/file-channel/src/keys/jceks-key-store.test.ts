import { nodeFileSystem } from "@millrace/core";
import { createSeededRandom, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { createDecipheriv, createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createJceksKeyProvider } from "./jceks-key-provider.ts";
import { deriveKeyAndIv, JceksError, parseJceks } from "./jceks-key-store.ts";
import type { KeyProvider } from "./key-provider.ts";

/**
 * Made by OpenJDK 17:
 *
 *     keytool -genseckey -alias key-1 -keyalg AES -keysize 128 -storetype JCEKS -keystore S -storepass storePass -keypass keyPass1
 *     keytool -genseckey -alias key-2 -keyalg AES -keysize 256 -storetype JCEKS -keystore S -storepass storePass -keypass storePass
 *
 * and the keys as KeyStore.getKey(...).getEncoded() gives them.
 */
const store = Buffer.from(
  [
    "zs7OzgAAAAIAAAACAAAAAwAFa2V5LTIAAAGiBPyiUqztAAVzcgAzY29tLnN1bi5jcnlwdG8ucHJvdmlkZXIuU2VhbGVk",
    "T2JqZWN0Rm9yS2V5UHJvdGVjdG9yzVfKWecwu1MCAAB4cgAZamF2YXguY3J5cHRvLlNlYWxlZE9iamVjdD42PabDt1Rw",
    "AgAEWwANZW5jb2RlZFBhcmFtc3QAAltCWwAQZW5jcnlwdGVkQ29udGVudHEAfgACTAAJcGFyYW1zQWxndAASTGphdmEv",
    "bGFuZy9TdHJpbmc7TAAHc2VhbEFsZ3EAfgADeHB1cgACW0Ks8xf4BghU4AIAAHhwAAAAETAPBAiyqbwZukDOywIDAw1A",
    "dXEAfgAFAAAAoNUgsbzgrLNXRzs9rS97QYojfcYrspuCF08ptcawQFITtInsCR1PxxEL1DAbjyXpLqnVMLdG+wCLESQz",
    "6JZe78HPyHCuU+bDxmpUITJWehnBqXiRr1EgVVSk52TT7J1V6BWMPZqEiB5k9yBFfcT67YHcpjrRSfL73Rtmb7q+QnQu",
    "1yPIjbGpNv4XIE5uqye4u2YlPmIK09ZLh/WvD2ewP2J0ABZQQkVXaXRoTUQ1QW5kVHJpcGxlREVTdAAWUEJFV2l0aE1E",
    "NUFuZFRyaXBsZURFUwAAAAMABWtleS0xAAABogT8oAOs7QAFc3IAM2NvbS5zdW4uY3J5cHRvLnByb3ZpZGVyLlNlYWxl",
    "ZE9iamVjdEZvcktleVByb3RlY3Rvcs1XylnnMLtTAgAAeHIAGWphdmF4LmNyeXB0by5TZWFsZWRPYmplY3Q+Nj2mw7dU",
    "cAIABFsADWVuY29kZWRQYXJhbXN0AAJbQlsAEGVuY3J5cHRlZENvbnRlbnRxAH4AAkwACXBhcmFtc0FsZ3QAEkxqYXZh",
    "L2xhbmcvU3RyaW5nO0wAB3NlYWxBbGdxAH4AA3hwdXIAAltCrPMX+AYIVOACAAB4cAAAABEwDwQIJH2vZJq+SRoCAwMN",
    "QHVxAH4ABQAAAJB1CTbL0IVdadyYk14+hQW00YBv299/GRQ/HRL6qMUDJMT/i1fAd2ni8JdAz0sVMIHDahifC6itKCYS",
    "uAEQ/50pE3JP0UyceoM9WdIrKKx+2XZgUcb8+JM7in2sa+H8Jia0AmCXX2XQigTJAV6hMkyjjmrSrkT1jQaN9/MoA8Md",
    "tZScqY5yJbowi4iW/U+cgIJ0ABZQQkVXaXRoTUQ1QW5kVHJpcGxlREVTdAAWUEJFV2l0aE1ENUFuZFRyaXBsZURFU4f0",
    "td6JM2gi5T3T4JWbGxiQSB3I",
  ].join(""),
  "base64",
);
const keyOne = "162eb4dbb25e6bc81bb44c78834defe8";
const keyTwo = "d503cae6b80533994bcf644610d0673a444ecb61eb0e021fdb29bad6a1600994";
const seeds = Number(process.env["SEEDS"] ?? 2_000);

async function provide(
  t: TestContext,
  { store: bytes = store, password = "storePass", own = "keyPass1" } = {},
): Promise<{ keys: KeyProvider; path: (name: string) => string }> {
  const folder = await tempDirectory(t);
  const path = (name: string): string => join(folder, name);
  await writeFile(path("store"), bytes);
  await writeFile(path("password"), `${password}\n`);
  await writeFile(path("own"), own);
  const keys = createJceksKeyProvider(
    {
      keyStoreFile: path("store"),
      keyStorePasswordFile: path("password"),
      keyPasswordFiles: new Map([["key-1", path("own")]]),
    },
    nodeFileSystem,
  );
  return { keys, path };
}

void test("keys that keytool made are read, under a password of their own or the store's (T773)", async (t) => {
  const { keys } = await provide(t);
  assert.equal((await keys.key("key-1")).toString("hex"), keyOne);
  assert.equal((await keys.key("key-2")).toString("hex"), keyTwo);
});

void test("a store names its keys, and tells upper case from lower case as little as Java does", async () => {
  const parsed = parseJceks(store, "storePass");
  assert.deepEqual([...parsed.aliases].sort(), ["key-1", "key-2"]);
  const found = await parsed.secretKey("KEY-2", "storePass");
  assert.equal(found?.algorithm, "AES");
  assert.equal(found.key.toString("hex"), keyTwo);
});

void test("a wrong store password is KEY_INVALID and says so (T780)", async (t) => {
  const { keys, path } = await provide(t, { password: "other" });
  await assert.rejects(keys.key("key-2"), {
    code: "KEY_INVALID",
    message: new RegExp(
      `the key store ${path("store")} was changed, or the password is not the store's`,
    ),
  });
});

void test("a wrong password of a key is KEY_INVALID and names the file it was read from", async (t) => {
  const { keys, path } = await provide(t, { own: "wrong" });
  await assert.rejects(keys.key("key-1"), {
    code: "KEY_INVALID",
    message: new RegExp(`the password is not the key's.*${path("own")} for the key key-1`),
  });
  assert.equal((await keys.key("key-2")).toString("hex"), keyTwo);
});

void test("an alias that is not there is KEY_MISSING and lists those that are (T781)", async (t) => {
  const { keys } = await provide(t);
  await assert.rejects(keys.key("key-3"), {
    code: "KEY_MISSING",
    message: /the key "key-3" is not in .*, which has key-2, key-1/,
  });
});

void test("a key store or password file that is not there is KEY_MISSING with its path (T779)", async (t) => {
  const { path } = await provide(t);
  for (const missing of ["store", "password"]) {
    const keys = createJceksKeyProvider(
      {
        keyStoreFile: path(missing === "store" ? "nowhere" : "store"),
        keyStorePasswordFile: path(missing === "password" ? "nowhere" : "password"),
      },
      nodeFileSystem,
    );
    await assert.rejects(keys.key("key-2"), {
      code: "KEY_MISSING",
      message: /nowhere does not exist/,
    });
  }
});

void test("a store of another type, cut off or too large is KEY_INVALID", async (t) => {
  const jks = Buffer.concat([Buffer.from("feedfeed00000002", "hex"), Buffer.alloc(40)]);
  for (const bytes of [jks, store.subarray(0, 10), Buffer.alloc(0)]) {
    const { keys } = await provide(t, { store: bytes });
    await assert.rejects(keys.key("key-2"), {
      code: "KEY_INVALID",
      message: /is not of type JCEKS/,
    });
  }
  const { keys } = await provide(t, { store: Buffer.alloc(16 * 1024 * 1024 + 1) });
  await assert.rejects(keys.key("key-2"), { code: "KEY_INVALID", message: /is the most/ });
});

void test("a store that may not be read is PERMISSION_DENIED", async (t) => {
  const { path } = await provide(t);
  const denied = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
  const keys = createJceksKeyProvider(
    { keyStoreFile: path("store"), keyStorePasswordFile: path("password") },
    { ...nodeFileSystem, open: () => Promise.reject(denied) },
  );
  await assert.rejects(keys.key("key-2"), { code: "PERMISSION_DENIED", message: /cannot be read/ });
});

void test("two equal halves of a salt are used as Java uses them", async () => {
  // Cipher.getInstance("PBEWithMD5AndTripleDES"), password "pw", salt 0102030401020304, 1000 rounds, of "hello"
  const derived = await deriveKeyAndIv(
    Buffer.from("0102030401020304", "hex"),
    1000,
    Buffer.from("pw"),
  );
  const cipher = createDecipheriv("des-ede3-cbc", derived.subarray(0, 24), derived.subarray(24));
  const hidden = Buffer.from("41b7b1500211088f", "hex");
  assert.equal(cipher.update(hidden).toString() + cipher.final().toString(), "hello");
});

void test("a key that asks for more rounds than Java allows is refused and not computed", async () => {
  const at = store.indexOf(Buffer.from("0203030d40", "hex"));
  assert.ok(at > 0);
  const greedy = Buffer.from(store);
  greedy[at + 2] = 0x7f;
  const parsed = parseJceks(signed(greedy), "storePass");
  await assert.rejects(parsed.secretKey("key-2", "storePass"), /asks for more than 5000000 rounds/);
});

void test("a damaged store is an error or a key, and never anything else", async () => {
  const random = createSeededRandom(7);
  let refused = 0;
  let read = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const damaged = Buffer.from(store.subarray(0, 4 + random.integer(store.length - 3)));
    for (let hits = 1 + random.integer(3); hits > 0; hits--) {
      damaged[4 + random.integer(Math.max(1, damaged.length - 4))] = random.integer(256);
    }
    const whole = random.integer(2) === 0 ? Buffer.from(store) : damaged;
    if (whole !== damaged) {
      whole[4 + random.integer(whole.length - 24)] = random.integer(256);
    }
    // Signed anew, or the checksum would hide the parser.
    try {
      parseJceks(whole === damaged ? seal(damaged) : signed(whole), "storePass");
      read++;
    } catch (error) {
      assert.ok(error instanceof JceksError, `seed ${seed}: ${String(error)}`);
      refused++;
    }
  }
  assert.ok(refused > seeds / 4 && read > seeds / 20, `${refused} refused, ${read} read`);
});

/** The store with a digest that fits what now stands before it. */
function signed(bytes: Buffer): Buffer {
  return seal(bytes.subarray(0, bytes.length - 20));
}

function seal(content: Buffer): Buffer {
  const digest = createHash("sha1")
    .update(Buffer.from("storePass", "utf16le").swap16())
    .update("Mighty Aphrodite")
    .update(content)
    .digest();
  return Buffer.concat([content, digest]);
}
