import { channelContract, tempDirectory } from "@millrace/testing";
import { loadableModules, sqliteChannel } from "./sqlite-kit.test.ts";

const modules = await loadableModules();
if (modules.length === 0) throw new Error("no SQLite can be loaded: npm install, or Node 22.13");

for (const name of modules) {
  channelContract(`jdbc over ${name}`, async (given, test) =>
    sqliteChannel(await tempDirectory(test), { ...given, settings: { modules: [name] } }),
  );
}

channelContract("jdbc that keeps nothing in memory", async (given, test) =>
  sqliteChannel(await tempDirectory(test), { ...given, memoryBytes: 0 }),
);
