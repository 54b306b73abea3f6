import { integer, type OptionsOf, text } from "@millrace/core";
import { limitOptions } from "../../rpc/limit-options.ts";
import { checkIpFilter, ipFilterOptions } from "../../rpc/server-transport-options.ts";
import type { OptionCheck } from "../../rpc/tls-options.ts";

const { requestsInFlight: _, ...limits } = limitOptions;

export const options = {
  host: text("host", "Address or name of this machine to listen on; 0.0.0.0 for all.", {
    required: true,
  }),
  port: integer("port", "Port to listen on; 0 lets the system choose one, which is logged.", {
    required: true,
    max: 65_535,
  }),
  ...limits,
  ...ipFilterOptions,
};

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(values: Options): readonly OptionCheck[] {
  return checkIpFilter(values);
}
