import { MillraceError } from "@millrace/core";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type CreateHostSelector, createRandomOrder, createRoundRobin } from "./host-choice.ts";

/**
 * The selector of a `host-selector` value: one of ours, or what a module exports as
 * `createHostSelector`. A path is relative to the working directory; other names are packages.
 * Throws CONFIG_INVALID.
 */
export async function loadHostSelector(value: string): Promise<CreateHostSelector> {
  switch (value.toLowerCase()) {
    case "round_robin":
      return createRoundRobin;
    case "random":
      return createRandomOrder;
    default:
      return importSelector(value);
  }
}

async function importSelector(value: string): Promise<CreateHostSelector> {
  const isPath = /^\.{0,2}\/|\.[cm]?[jt]s$/.test(value);
  let found: { createHostSelector?: unknown };
  try {
    const specifier = isPath ? pathToFileURL(resolve(value)).href : value;
    found = (await import(specifier)) as { createHostSelector?: unknown };
  } catch (error) {
    const isJava = /^[a-z_]\w*(\.\w+)+$/i.test(value) && !isPath;
    const why = isJava ? "a Java class cannot be loaded; port it" : (error as Error).message;
    throw invalid(value, why, error);
  }
  if (typeof found.createHostSelector !== "function") {
    throw invalid(value, "it exports no function createHostSelector");
  }
  return found.createHostSelector as CreateHostSelector;
}

function invalid(value: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError("CONFIG_INVALID", `host-selector ${value}: ${why}`, {
    cause,
    context: { key: "host-selector" },
  });
}
