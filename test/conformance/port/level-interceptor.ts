import { boolean, defineInterceptor, text } from "@millrace/core";

const levelPattern = /\b(ERROR|WARN|INFO|DEBUG)\b/;

/** Puts a line's level into a header, and drops DEBUG lines when it is told to. */
export const interceptor = defineInterceptor({
  type: "level",
  // The Java class's name: in a folder of --plugins-path, the old configuration fits as it is.
  aliases: ["millrace.conformance.LevelInterceptor$Builder"],
  summary: "Puts a line's level into a header.",
  options: {
    header: text("header", "Where the level goes.", { default: "level" }),
    dropDebug: boolean("dropDebug", "Whether DEBUG lines are dropped.", { default: false }),
  },
  guarantee: { atLeastOnce: true },
  example: "",
  create: ({ header, dropDebug }) =>
    Promise.resolve((batch) =>
      batch.map(({ headers, body }) => {
        const level = levelPattern.exec(body.toString("utf8"))?.[1] ?? "NONE";
        if (dropDebug && level === "DEBUG") return undefined;
        return { headers: new Map(headers).set(header, level), body };
      }),
    ),
});
