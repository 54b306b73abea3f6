import { defineSource } from "@millrace/core";
import { options, parseFileGroups } from "./options.ts";

export const source = defineSource({
  type: "taildir",
  aliases: ["org.apache.flume.source.taildir.TaildirSource"],
  summary: "Follows growing files, over rotation and restart.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = logs
a1.channels = c1
a1.sinks = out

a1.sources.logs.type = TAILDIR
a1.sources.logs.channels = c1
a1.sources.logs.filegroups = app web
a1.sources.logs.filegroups.app = /var/log/app/.*[.]log
a1.sources.logs.filegroups.web = /var/log/web/access[.]log
a1.sources.logs.headers.web.kind = access
a1.sources.logs.positionFile = /var/lib/millrace/positions.json
a1.sources.logs.fileHeader = true

a1.channels.c1.type = memory
a1.sinks.out.type = logger
a1.sinks.out.channel = c1
`,
  check: (chosen) => parseFileGroups(chosen).problems,
  batchSize: (chosen) => chosen.batchSize,
  async create(chosen, context) {
    const { createTaildirSource } = await import("./taildir-source.ts");
    return createTaildirSource(chosen, context);
  },
});
