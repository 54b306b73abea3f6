import { type Child, freePort, startChild, tempDirectory, waitFor } from "@millrace/testing";
import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, type TestContext } from "node:test";
import { Client } from "pg";
import { serverUser } from "./postgres-binaries.ts";

/** A PostgreSQL of its own for one file of tests, on loopback, with a password over TCP. */
export interface PostgresServer {
  readonly port: number;
  /** `postgresql://127.0.0.1:port/millrace`, without user and password. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Its settings behind `-c`, as `name=value`. */
  start(settings?: readonly string[]): Promise<void>;
  /** SIGKILL to the server: what it had not written is gone, its sessions end. */
  kill(): Promise<void>;
  /** As a restart in order does it: sessions are ended, then the server. */
  stop(): Promise<void>;
  /** Restarts it with this key and certificate. */
  secure(keyPem: string, chainPem: string): Promise<void>;
  /** As the superuser; every column as text. */
  query(sql: string): Promise<Record<string, string | null>[]>;
  /** A session of the superuser's that stays until the test ends it. */
  session(): Promise<Client>;
  output(): string;
}

const user = "millrace";
const password = "pass word/%";

/** Made once a file: its tests tell themselves apart by the names of their channels. */
export async function createPostgresServer(folder: string): Promise<PostgresServer> {
  // What is made here lives as long as the file's tests, also when one of them starts it again.
  const cleanups: (() => unknown)[] = [];
  const file = {
    after: (cleanup: () => unknown) => cleanups.unshift(cleanup),
  } as unknown as TestContext;
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });
  const directory = await tempDirectory(file);
  const uid = serverUser();
  const asUser = uid === undefined ? {} : { uid };
  if (uid !== undefined) await chown(directory, uid, -1);
  const data = join(directory, "data");
  const port = await freePort();
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, password, { mode: 0o644 });
  const lives: Child[] = [];

  const initdb = startChild(file, {
    ...asUser,
    cwd: directory,
    command: [
      ...[join(folder, "initdb"), "-D", data, "-U", user, "--no-sync", "-E", "UTF8"],
      ...["--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"],
      `--pwfile=${passwordFile}`,
    ],
  });
  const { code } = await initdb.exited(120_000);
  if (code !== 0) throw new Error(`initdb ended with ${code}:\n${initdb.output()}`);

  const client = (database: string): Client =>
    new Client({ host: directory, port, user, database, types: asText as never });
  const connected = async (database: string): Promise<Client> => {
    const made = client(database);
    made.on("error", () => undefined);
    await made.connect();
    return made;
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = lives.at(-1);
    child?.signal(signal);
    await child?.exited(60_000);
  };

  const server: PostgresServer = {
    port,
    url: `postgresql://127.0.0.1:${port}/millrace`,
    user,
    password,
    output: () => lives.map((child) => child.output()).join(""),
    async start(settings = []) {
      const common = [
        `port=${port}`,
        "listen_addresses=127.0.0.1",
        `unix_socket_directories=${directory}`,
      ];
      const options = [...common, "max_connections=50", ...settings].flatMap((one) => ["-c", one]);
      const began = performance.now();
      // After a kill its sessions may hold the shared memory for a moment.
      for (;;) {
        const command = [join(folder, "postgres"), "-D", data, ...options];
        const child = startChild(file, { ...asUser, cwd: directory, command });
        lives.push(child);
        await waitFor(
          "PostgreSQL to be ready",
          () => child.exit !== undefined || child.output().includes("ready to accept connections"),
          60_000,
        );
        if (child.exit === undefined) break;
        if (performance.now() - began > 30_000) throw new Error(child.output());
      }
      const admin = await connected("postgres");
      const found = await admin.query("SELECT 1 FROM pg_database WHERE datname = 'millrace'");
      if (found.rows.length === 0) await admin.query("CREATE DATABASE millrace");
      await admin.end();
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGINT"),
    async query(sql) {
      const admin = await connected("millrace");
      try {
        return (await admin.query(sql)).rows as Record<string, string | null>[];
      } finally {
        await admin.end();
      }
    },
    async secure(keyPem, chainPem) {
      const [key, chain] = [join(data, "server.key"), join(data, "server.crt")];
      await writeFile(key, keyPem, { mode: 0o600 });
      await writeFile(chain, chainPem);
      if (uid !== undefined) await Promise.all([key, chain].map((path) => chown(path, uid, -1)));
      await server.stop();
      await server.start(["ssl=on"]);
    },
    session: () => connected("millrace"),
  };
  return server;
}

const asText = { getTypeParser: () => (text: string) => text };
