import { systemRuntime } from "@millrace/core";
import type { CreateCompanion } from "./companions.ts";
import { type FileWatch, watchFiles } from "./watch-files.ts";

/** The companion that reads the configuration again when its files change. */
export const watchConfiguration: CreateCompanion = (run) => {
  const { agent, log, request, reloadSettings, reload } = run;
  let watch: FileWatch | undefined;
  return {
    begin() {
      if (reloadSettings.mode === "watch") {
        watch = watchFiles({
          paths: request.files,
          known: agent.configuration.generation,
          pollIntervalMs: reloadSettings.pollIntervalSeconds * 1000,
          runtime: systemRuntime,
          log: log.of("config"),
          changed: reload,
        });
      }
      return Promise.resolve();
    },
    stopping: () => watch?.stop(),
  };
};
