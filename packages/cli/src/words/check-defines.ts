import { readLogSettings, readMonitoringSettings } from "@millrace/agent";
import { readHandOverSettings } from "../hand-over/settings.ts";
import type { AgentWords } from "./agent-options.ts";
import { readReloadSettings } from "./reload-settings.ts";
import { readDrainTime } from "./drain-time.ts";

export interface DefinesProblem {
  readonly severity: "note" | "warning" | "error";
  readonly text: string;
}

/** What an agent would say of its -D words, and would mostly run in spite of. */
export function checkDefines(
  asked: Pick<AgentWords, "noReloadConf" | "pollIntervalSeconds">,
  defines: ReadonlyMap<string, string>,
): DefinesProblem[] {
  const found = [
    { severity: "error", text: readMonitoringSettings(defines).problem },
    { severity: "error", text: readHandOverSettings(defines).problem },
    { severity: "warning", text: readDrainTime(defines).note },
    { severity: "warning", text: readReloadSettings(asked, defines).note },
    { severity: "note", text: readLogSettings(defines).note },
  ] as const;
  return found.flatMap(({ severity, text }) => (text === undefined ? [] : [{ severity, text }]));
}
