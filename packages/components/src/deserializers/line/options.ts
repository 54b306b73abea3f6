import { choice, integer, type OptionsOf } from "@millrace/core";

/** What a body may be encoded in. */
export const outputCharsets = [
  "UTF-8",
  "UTF8",
  "US-ASCII",
  "ASCII",
  "ISO-8859-1",
  "latin1",
  "UTF-16",
  "UTF-16LE",
  "UTF-16BE",
] as const;
export type OutputCharset = (typeof outputCharsets)[number];

export const options = {
  maxLineLength: integer(
    "maxLineLength",
    "Characters of a line at most; a longer line becomes several events. The line feed counts: " +
      "a line of exactly this many characters is followed by an empty event, as in Flume",
    { default: 2048, min: 1, max: 2_147_483_647, unit: "UTF-16 code units" },
  ),
  outputCharset: choice("outputCharset", outputCharsets, "What bodies are encoded in", {
    default: "UTF-8",
  }),
};

export type LineOptions = OptionsOf<typeof options>;
