import { register } from "node:module";
import { pathToFileURL } from "node:url";

const scheme = "millrace-plugin:";

/**
 * Runs in Node's loader thread, so it is text. A plugin's `@millrace/core` is the agent's, wherever
 * the plugin lies and whatever copy it has: an error is recognised by its class. A package is looked
 * for from several places in turn.
 */
const hooks = `
let own;
export function initialize(data) { own = data.own; }
export async function resolve(specifier, context, next) {
  if (specifier === "@millrace/core") return next(specifier, { ...context, parentURL: own });
  if (!specifier.startsWith(${JSON.stringify(scheme)})) return next(specifier, context);
  const { name, parents } = JSON.parse(decodeURIComponent(specifier.slice(${scheme.length})));
  let missing;
  for (const parentURL of parents) {
    try {
      return await next(name, { ...context, parentURL });
    } catch (error) {
      if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
      missing ??= error;
    }
  }
  throw missing;
}
`;

let registered = false;

/** Imports a file by its path; what it throws is the module's own, or Node's. */
export async function importFile(path: string): Promise<Record<string, unknown>> {
  registerHooks();
  return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
}

/** Imports a package as a module in one of the directories would, the first that has it. */
export async function importPackage(
  name: string,
  directories: readonly string[],
): Promise<Record<string, unknown>> {
  registerHooks();
  const parents = [...directories.map((directory) => pathToFileURL(`${directory}/_`).href)];
  const question = encodeURIComponent(JSON.stringify({ name, parents }));
  return (await import(`${scheme}${question}`)) as Record<string, unknown>;
}

function registerHooks(): void {
  if (registered) return;
  registered = true;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: { own: import.meta.url } });
}
