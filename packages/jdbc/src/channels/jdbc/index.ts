import { defineChannel } from "@millrace/core";
import { databaseOf, mergeDeprecated, options } from "./options.ts";

export const channel = defineChannel({
  type: "jdbc",
  aliases: ["org.apache.flume.channel.jdbc.JdbcChannel"],
  summary: "Keeps events in a database: an SQLite file, or PostgreSQL.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = jdbc
a1.channels.c1.driver.url = jdbc:postgresql://db.example.org:5432/flume?sslmode=verify-full
a1.channels.c1.db.type = POSTGRESQL
a1.channels.c1.db.username = flume
a1.channels.c1.db.password = secret
a1.channels.c1.maximum.capacity = 1000000
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  check: (given) => {
    const { options: merged, problems } = mergeDeprecated(given);
    try {
      databaseOf(merged);
      return problems;
    } catch (error) {
      const key = merged.driverUrl === undefined ? "db.type" : "driver.url";
      return [...problems, { key, message: (error as Error).message }];
    }
  },
  notes: (given) => [
    ...[...given.deprecated.keys()].map((key) => ({
      key: `org.apache.flume.channel.jdbc.${key}`,
      message: `is the old form of ${key}`,
    })),
    ...[...mergeDeprecated(given).options.systemProperties.keys()]
      .filter((name) => name !== "user.home")
      .map((name) => ({ key: `sysprop.${name}`, message: "there are no JVM properties to set" })),
  ],
  home: ["driverUrl", "connectionPropertiesFile", "systemProperties"],
  transactionCapacity: (values) => values.transactionCapacity,
  create: async (values, context) =>
    (await import("./configured-channel.ts")).createConfiguredChannel(values, context),
});
