import type { AgentWords } from "./agent-options.ts";

/** Whether the configuration's files are watched. SIGHUP has them read again either way. */
export interface ReloadSettings {
  readonly mode: "watch" | "off";
  readonly pollIntervalSeconds: number;
}

/** Flume's. */
const pollIntervalSecondsDefault = 30;

/** `--no-reload-conf` and `--poll-interval` of the command line, `-Dmillrace.reload=watch|off`. */
export function readReloadSettings(
  { noReloadConf, pollIntervalSeconds }: Pick<AgentWords, "noReloadConf" | "pollIntervalSeconds">,
  defines: ReadonlyMap<string, string>,
): { readonly settings: ReloadSettings; readonly note?: string } {
  const given = defines.get("millrace.reload") ?? "watch";
  const known = given === "watch" || given === "off";
  const mode = noReloadConf || given === "off" ? "off" : "watch";
  // As in Flume 0 is the default.
  const seconds = pollIntervalSeconds || pollIntervalSecondsDefault;
  return {
    settings: { mode, pollIntervalSeconds: seconds },
    ...(known ? {} : { note: `millrace.reload=${given} is neither watch nor off; watch is used` }),
  };
}
