/** What a configuration names when a type is a plugin's: a module, and maybe one of its exports. */
export interface PluginReference {
  /** `./my-sink.js`, `/opt/my-sink.js`, `file:...`, or a package: `@acme/millrace-sinks`. */
  readonly module: string;
  readonly isPackage: boolean;
  /** Behind `#`: the name of the export, or the type of the definition it holds. */
  readonly exportName: string | undefined;
}

/**
 *     type = ./my-sink.js            a file beside the configuration file that says so
 *     type = ../plugins/sinks.js#s3  one of several exports
 *     type = /opt/acme/my-sink.js    file:///opt/acme/my-sink.js
 *     type = @acme/millrace-sinks    an npm package with a scope
 *     type = npm:acme-sinks#s3       any npm package
 *
 * Undefined for anything else: a word without a mark is never taken for a package, since a misspelt
 * type must not run a stranger's code.
 */
export function parsePluginReference(type: string): PluginReference | undefined {
  const [, whole = type, exportName] = /^(.*)#([\w$-]+)$/.exec(type) ?? [];
  if (/^(\.{0,2}\/|file:)/.test(whole)) return { module: whole, isPackage: false, exportName };
  const name = whole.startsWith("npm:") ? whole.slice(4) : whole;
  const isPackage = name.startsWith("@") || (name !== whole && name !== "");
  return isPackage ? { module: name, isPackage, exportName } : undefined;
}
