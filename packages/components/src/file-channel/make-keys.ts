import { type ComponentContext, expandHome } from "@millrace/core";
import { createJceksKeyProvider, createKeyFiles, type KeyProvider } from "@millrace/file-channel";
import type { LogOptions } from "./options.ts";

/** The key provider that a configuration names; undefined where there is none. Reads nothing yet. */
export function makeKeys(
  options: LogOptions,
  context: Pick<ComponentContext, "home" | "runtime" | "log">,
): KeyProvider | undefined {
  const { keyProvider, keyDir, keyStoreFile = "", keyStorePasswordFile = "" } = options;
  const { files } = context.runtime;
  const path = (text: string): string => expandHome(text, context.home);
  if (keyProvider === undefined) return undefined;
  if (keyProvider === "JCEKSFILE") {
    return createJceksKeyProvider(
      {
        keyStoreFile: path(keyStoreFile),
        keyStorePasswordFile: path(keyStorePasswordFile),
        keyPasswordFiles: pathsOf(options.keyFiles, ".passwordFile", path),
      },
      files,
    );
  }
  const directory = keyDir === undefined ? undefined : path(keyDir);
  const paths = pathsOf(options.keyFiles, ".file", path);
  return createKeyFiles({ directory, paths }, files, context.log);
}

/** Key names and files, of the properties `<name><kind>`. */
function pathsOf(
  properties: ReadonlyMap<string, string>,
  kind: string,
  path: (text: string) => string,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of properties) {
    if (name.endsWith(kind)) found.set(name.slice(0, -kind.length), path(value));
  }
  return found;
}
