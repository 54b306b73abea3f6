import { ignored, integer, type OptionsOf, text } from "@millrace/core";
import { limitOptions } from "../../rpc/limit-options.ts";
import { checkIpFilter, ipFilterOptions } from "../../rpc/server-transport-options.ts";
import type { OptionCheck } from "../../rpc/tls-options.ts";

const { maxFrameBytes: _, ...limits } = limitOptions;

/** What Flume takes for a value of 0 or less. */
export const maxReadBufferBytesDefault = 16_384_000;

export const options = {
  port: integer("port", "Port to listen on; 0 lets the system choose one, which is logged.", {
    default: 1499,
    max: 65_535,
  }),
  bind: text("bind", "Address or name of this machine to listen on; Flume has all of them.", {
    default: "0.0.0.0",
  }),
  maxReadBufferBytes: integer(
    "maxReadBufferBytes",
    "Bytes one Log may have; the connection of a larger one is closed. 0 or less means the default.",
    { default: maxReadBufferBytesDefault, min: -0x8000_0000, max: 0x7fff_ffff, unit: "bytes" },
  ),
  ...limits,
  ...ipFilterOptions,
  workerThreads: ignored("workerThreads", "One event loop serves all connections."),
};

export type Options = OptionsOf<typeof options>;

/** What no single option shows. */
export function checkOptions(values: Options): readonly OptionCheck[] {
  return checkIpFilter(values);
}
