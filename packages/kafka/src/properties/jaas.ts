import type { SaslSettings } from "../client/client-settings.ts";

/**
 * Reads `sasl.jaas.config` as Java's JAAS has it:
 *
 *   org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";
 *
 * The login module is one word, then a flag, then name = value pairs, each value quoted or bare; in
 * quotes a backslash stands before a quote or itself. Returns what is wrong as text.
 */
export function parseJaas(
  text: string,
  mechanism: SaslSettings["mechanism"],
): SaslSettings | string {
  const head = /^\s*([\w.$]+)\s+(required|requisite|sufficient|optional)\b/i.exec(text);
  if (head === null) return "is not a login module followed by required and its options";
  const [, module = ""] = head;
  const wanted = mechanism === "plain" ? "PlainLoginModule" : "ScramLoginModule";
  if (!module.endsWith(`.${wanted}`)) {
    return `names ${module}; ${mechanism.toUpperCase()} needs ${wanted}`;
  }
  const options = new Map<string, string>();
  const pair = /\s*([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))/y;
  pair.lastIndex = head[0].length;
  let end = pair.lastIndex;
  for (let found = pair.exec(text); found !== null; found = pair.exec(text)) {
    const value = found[2] ?? found[3] ?? found[4] ?? "";
    options.set(found[1] ?? "", value.replace(/\\(.)/g, "$1"));
    end = pair.lastIndex;
  }
  if (!/^\s*;?\s*$/.test(text.slice(end))) {
    return 'has something behind its options that is none; an option is name="value"';
  }
  const username = options.get("username");
  const password = options.get("password");
  if (username === undefined || password === undefined) return "has no username or no password";
  return { mechanism, username, password };
}
