import {
  boolean,
  choice,
  ignored,
  integer,
  type OptionSpecs,
  type OptionsOf,
  parseOptions,
  prefixed,
  text,
} from "@millrace/core";

/** Flume's keys, which may also stand behind its old prefix. None has a default here, as one that is not given may be given there. */
const flumeOptions = {
  driverUrl: text(
    "driver.url",
    "Where the events are: jdbc:sqlite:<file> or jdbc:postgresql://host:port/database?parameters " +
      "(also without jdbc:). When not set: an SQLite file <user.home>/.flume/jdbc-channel/<channel>.sqlite.",
  ),
  dbType: choice(
    "db.type",
    ["SQLITE", "POSTGRESQL", "DERBY", "MYSQL", "ORACLE", "OTHER"],
    "What the URL says already; it must agree with it. DERBY without a URL means the SQLite file.",
  ),
  username: text("db.username", "User of the PostgreSQL database, where the URL names none."),
  password: text("db.password", "Its password, where the URL names none."),
  connectionPropertiesFile: text(
    "connection.properties.file",
    "Java properties file with more of the URL's parameters: user, password, sslmode, sslrootcert, ...",
  ),
  createSchema: boolean(
    "create.schema",
    "Whether to create the tables where they are missing. When not set: true.",
  ),
  isolation: choice(
    "transaction.isolation",
    ["READ_UNCOMMITTED", "READ_COMMITTED", "REPEATABLE_READ", "SERIALIZABLE"],
    "Isolation of the PostgreSQL session. Each change is one statement over rows that nobody else " +
      "writes, so any will do; SQLite's is always serializable. When not set: READ_COMMITTED.",
  ),
  connectionsMax: integer(
    "maximum.connections",
    "With 1, PostgreSQL is read over the connection that writes; with more, over a second one. A " +
      "channel never has more than two. When not set: 10.",
    { min: 1 },
  ),
  capacity: integer(
    "maximum.capacity",
    "Events the channel holds at most, lent ones included; 0 sets no limit. When not set: 0.",
  ),
  driverClass: ignored("driver.class", "The URL says which driver it is."),
  createIndex: ignored("create.index", "The tables need none but their keys."),
  createForeignKey: ignored("create.foreignkey", "The tables have none."),
  systemProperties: prefixed(
    "sysprop",
    "sysprop.user.home is the directory that the default file lies under; there are no other " +
      "system properties here.",
  ),
};

export const options = {
  ...flumeOptions,
  transactionCapacity: integer("transactionCapacity", "Events one transaction holds at most.", {
    default: 10_000,
    min: 1,
  }),
  keepAliveSeconds: integer(
    "keep-alive",
    "How long a put waits for room and a take for an event.",
    { default: 3, min: 0, unit: "s" },
  ),
  memoryBytes: integer(
    "memoryBytes",
    "Stored events kept in memory beside the database; more is read back when it is taken.",
    { default: 16_777_216, min: 0, unit: "bytes" },
  ),
  minimumRequiredSpaceBytes: integer(
    "minimumRequiredSpace",
    "Free space that puts leave on the SQLite file's disk. SQLite needs some to delete what is " +
      "delivered: without it a full disk would not drain.",
    { default: 67_108_864, min: 0, unit: "bytes" },
  ),
  deprecated: prefixed(
    "org.apache.flume.channel.jdbc",
    "Flume's old form of its keys above; the short form wins.",
  ),
} satisfies OptionSpecs;

export type Options = OptionsOf<typeof options>;

/** The options with what stands behind the old prefix, and what is wrong there. */
export function mergeDeprecated(given: Options): {
  readonly options: Options;
  readonly problems: readonly { key: string; message: string }[];
} {
  const old = parseOptions(flumeOptions, given.deprecated);
  const key = (name: string): string => `org.apache.flume.channel.jdbc.${name}`;
  const problems = [
    ...old.problems.map((problem) => ({ key: key(problem.key), message: problem.message })),
    ...old.unknownKeys.map((name) => ({ key: key(name), message: "is no key of this channel" })),
  ];
  const short = Object.entries(given).filter(([, value]) => value !== undefined);
  const merged = { ...old.options, ...Object.fromEntries(short) } as Options;
  const systemProperties = new Map([...old.options.systemProperties, ...given.systemProperties]);
  return { options: { ...merged, systemProperties }, problems };
}

export type Database =
  | { readonly kind: "sqlite"; readonly path: string | undefined }
  | { readonly kind: "postgresql"; readonly url: string };

/** What the options name. Throws an error whose message says why it cannot be used. */
export function databaseOf({ driverUrl, dbType }: Options): Database {
  if (driverUrl === undefined) return databaseWithoutUrl(dbType);
  const url = driverUrl.replace(/^jdbc:/i, "");
  const scheme = /^([a-z0-9+]+):/i.exec(url)?.[1]?.toLowerCase() ?? "";
  const expected = { sqlite: "SQLITE", postgresql: "POSTGRESQL", postgres: "POSTGRESQL" }[scheme];
  if (expected === undefined) throw new Error(refusalOf(scheme));
  if (dbType !== undefined && dbType !== "OTHER" && dbType !== expected) {
    throw new Error(`db.type is ${dbType}, but driver.url names ${expected}`);
  }
  if (expected === "SQLITE") {
    const path = url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
    if (path === "" || path.includes(":memory:")) {
      throw new Error("an SQLite database in memory keeps nothing: name a file");
    }
    return { kind: "sqlite", path };
  }
  const authority = /^[a-z]+:\/\/([^/?]*)/i.exec(url)?.[1] ?? "";
  if (authority.includes(",")) throw new Error("one host only: the driver knows no list of hosts");
  return { kind: "postgresql", url: postgresqlUrl(url) };
}

function databaseWithoutUrl(dbType: Options["dbType"]): Database {
  if (dbType === undefined || dbType === "DERBY" || dbType === "SQLITE") {
    return { kind: "sqlite", path: undefined };
  }
  throw new Error(`db.type ${dbType} needs a driver.url`);
}

function refusalOf(scheme: string): string {
  const known = "this channel keeps its events in SQLite (jdbc:sqlite:<file>) or PostgreSQL";
  if (scheme === "derby") {
    return `Derby needs Java; ${known}. Leave driver.url out for an SQLite file in its place; drain what Derby holds with Java Flume first`;
  }
  return `${scheme === "" ? "this is no URL of a database" : `${scheme} is not supported`}; ${known}`;
}

/** Java's short forms leave out the host: `postgresql:db`, `postgresql:/`. */
function postgresqlUrl(url: string): string {
  const rest = url.slice(url.indexOf(":") + 1);
  if (rest.startsWith("//")) return `postgresql:${rest}`;
  return `postgresql://localhost/${rest.replace(/^\//, "")}`;
}
