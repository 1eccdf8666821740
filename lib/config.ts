/**
 * What a cluster consists of: one router and its nodes, each with the addresses that it listens on
 * and, for a node, the directory of its data. Read from a JSON file, or built in.
 *
 * A config is checked whole before anything starts, and everything that is wrong with it is told at
 * once. Order matters: slots are dealt out over the nodes as they stand in the list.
 *
 * @module
 */

import { isIP } from "node:net";
import { dirname, isAbsolute, join, normalize } from "@std/path";
import { isWithin } from "./is_within.ts";

/** One node. */
export interface NodeConfig {
  /** 1 to 32 letters, digits, `-` and `_`, of which a letter or digit first; unique. */
  readonly id: string;
  /** Host name or IP address, for both listeners. */
  readonly host: string;
  /** Port of the HTTP API, 1 to 65535. */
  readonly port: number;
  /** Port that routers connect to, 1 to 65535. */
  readonly linkPort: number;
  /** Directory that belongs to this node alone: absolute, or relative to the current directory. */
  readonly data: string;
}

/** One router and the nodes behind it, at least one. */
export interface ClusterConfig {
  readonly router: { readonly host: string; readonly port: number };
  readonly nodes: readonly NodeConfig[];
}

/** The cluster that runs when no config file is given: six nodes on loopback. */
export const BUILT_IN_CONFIG: ClusterConfig = {
  router: { host: "127.0.0.1", port: 8080 },
  nodes: Array.from({ length: 6 }, (_, i) => ({
    id: `n${i + 1}`,
    host: "127.0.0.1",
    port: 8090 + i,
    linkPort: 8190 + i,
    data: join("data", `n${i + 1}`),
  })),
};

/** A config that cannot be used. */
export class ConfigError extends Error {
  override name = "ConfigError";

  /** @param problems One line each: file, field, what it was and what is wanted. */
  constructor(readonly problems: readonly string[], options?: ErrorOptions) {
    super(problems.join("\n"), options);
  }
}

/**
 * The config that `source` leads to: the path of a file, or the JSON itself, known by its `{`. The
 * built-in one when there is no source.
 *
 * @throws {ConfigError} The file cannot be read, or what it says cannot be used.
 */
export async function loadConfig(source?: string): Promise<ClusterConfig> {
  if (source === undefined) return BUILT_IN_CONFIG;
  if (source.startsWith("{")) return parseConfig(source);
  return parseConfig(await readConfig(source), source);
}

async function readConfig(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = (cause as Error).message.replace(/ \(os error .*$/, "");
    throw new ConfigError([`Cannot read config ${quote(path)}: ${reason}`], { cause });
  }
}

/**
 * The config that `text` spells in JSON. A relative `data` is taken as relative to the folder of
 * `fileName`; if the text is from no file, to the current directory.
 *
 * @throws {ConfigError} It cannot be used; names everything that is wrong.
 */
export function parseConfig(text: string, fileName?: string): ClusterConfig {
  const reader = new ConfigReader(fileName === undefined ? null : dirname(fileName));
  const config = reader.read(text);
  if (config !== undefined) return config;
  const which = fileName === undefined ? "on the command line" : quote(fileName);
  throw new ConfigError(reader.problems.map((problem) => `Cannot use config ${which}: ${problem}`));
}

const DEFAULT_HOST = "127.0.0.1";

type Fields = Record<string, unknown>;

/** What is left of a node or router when the fields that cannot be used are taken out. */
type Draft<T> = { -readonly [Field in keyof T]?: T[Field] };

interface ClusterDraft {
  router: Draft<ClusterConfig["router"]>;
  nodes: Draft<NodeConfig>[];
}

interface Rule {
  wanted: string;
  accepts(value: unknown): boolean;
}

/** What else has lines of its own in the output of the supervisor. */
const TAKEN_IDS = ["router", "cluster"];

const ID: Rule = {
  // A "-" would make a flag of it on the command line.
  wanted: `1 to 32 letters, digits, "-" and "_", of which a letter or digit first`,
  accepts: (value) => typeof value === "string" && /^[A-Za-z0-9][\w-]{0,31}$/.test(value),
};
const HOST: Rule = {
  wanted: `a host name or an IP address, such as "${DEFAULT_HOST}"`,
  accepts: (value) => typeof value === "string" && (isIP(value) !== 0 || isHostName(value)),
};
const PORT: Rule = {
  wanted: "an integer from 1 to 65535",
  accepts: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535,
};
const DATA: Rule = {
  // Permission flags of Deno are lists with commas.
  wanted: "the path of a directory, without a comma",
  accepts: (value) => typeof value === "string" && /^[^\0,]+$/.test(value) && value.isWellFormed(),
};

const ROUTER_RULES = { host: HOST, port: PORT };
const NODE_RULES = { id: ID, host: HOST, port: PORT, linkPort: PORT, data: DATA };

/**
 * Reads one config and gathers what is wrong with it. A field that cannot be used is reported and
 * left undefined; the checks that compare fields pass over it.
 */
class ConfigReader {
  readonly problems: string[] = [];
  /** Of the config file; null without one. */
  readonly #folder: string | null;

  constructor(folder: string | null) {
    this.#folder = folder;
  }

  /** The config, or undefined when there are problems. */
  read(text: string): ClusterConfig | undefined {
    const value = this.#parse(text);
    if (value === undefined) return undefined;
    const draft = this.#readCluster(value);
    this.#compareIds(draft.nodes);
    this.#compareListeners(draft);
    this.#compareDirectories(draft.nodes);
    return this.problems.length === 0 ? draft as ClusterConfig : undefined;
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      // The message quotes a piece of the text, which may hold line breaks.
      const reason = (error as SyntaxError).message.replace(/\s+/g, " ");
      this.problems.push(`it is not JSON: ${reason}`);
    }
  }

  #readCluster(value: unknown): ClusterDraft {
    const fields = this.#readObject(value, "", ["router", "nodes"]);
    if (fields === undefined) return { router: {}, nodes: [] };
    return { router: this.#readRouter(fields.router), nodes: this.#readNodes(fields.nodes) };
  }

  #readRouter(value: unknown): ClusterDraft["router"] {
    return this.#readFields(value, "router", ROUTER_RULES);
  }

  #readNodes(value: unknown): ClusterDraft["nodes"] {
    if (!Array.isArray(value) || value.length === 0) {
      this.#report("nodes", value, "a list of at least one node");
      return [];
    }
    return value.map((item, i) => {
      const node: Draft<NodeConfig> = this.#readFields(item, `nodes[${i}]`, NODE_RULES);
      if (node.data !== undefined) node.data = fromFolder(this.#folder ?? ".", node.data);
      return node;
    });
  }

  /** Reads an object by one rule for each field; only `host` may be left out. */
  #readFields(value: unknown, path: string, rules: Record<string, Rule>): Fields {
    const fields = { ...this.#readObject(value, path, Object.keys(rules)) };
    if (fields.host === undefined) fields.host = DEFAULT_HOST;
    const usable: Fields = {};
    for (const [name, rule] of Object.entries(rules)) {
      if (rule.accepts(fields[name])) usable[name] = fields[name];
      else if (isObject(value)) this.#report(`${path}.${name}`, fields[name], rule.wanted);
    }
    return usable;
  }

  #readObject(value: unknown, path: string, names: string[]): Fields | undefined {
    if (!isObject(value)) {
      this.#report(path || "the whole", value, `an object with ${list(names)}`);
      return undefined;
    }
    for (const name of Object.keys(value).filter((name) => !names.includes(name))) {
      const field = path === "" ? name : `${path}.${name}`;
      this.problems.push(`${field} is an unknown field, expected ${list(names)} only`);
    }
    return value;
  }

  #compareIds(nodes: ClusterDraft["nodes"]): void {
    for (const [i, { id }] of nodes.entries()) {
      if (id === undefined) continue;
      if (TAKEN_IDS.includes(id)) {
        this.#report(`nodes[${i}].id`, id, `another id than ${TAKEN_IDS.map(quote).join(" and ")}`);
      }
      const first = nodes.findIndex((node) => node.id === id);
      if (first !== i) this.#report(`nodes[${i}].id`, id, `another id than nodes[${first}]`);
    }
  }

  #compareListeners({ router, nodes }: ClusterDraft): void {
    const seen: { field: string; host: string; port: number }[] = [];
    const compare = (field: string, host?: string, port?: number) => {
      if (host === undefined || port === undefined) return;
      const other = seen.find((one) => one.port === port && hostsOverlap(one.host, host));
      if (other === undefined) seen.push({ field, host, port });
      else this.#report(field, port, `another port than ${other.field} on host ${other.host}`);
    };
    compare("router.port", router.host, router.port);
    for (const [i, { host, port, linkPort }] of nodes.entries()) {
      compare(`nodes[${i}].port`, host, port);
      compare(`nodes[${i}].linkPort`, host, linkPort);
    }
  }

  #compareDirectories(nodes: ClusterDraft["nodes"]): void {
    for (const [i, { data }] of nodes.entries()) {
      if (data === undefined) continue;
      if (this.#folder !== null && isWithin(this.#folder, data)) {
        this.#report(`nodes[${i}].data`, data, "a directory that does not contain the config file");
      }
      const other = nodes.slice(0, i).findIndex((node) =>
        node.data !== undefined && (isWithin(data, node.data) || isWithin(node.data, data))
      );
      if (other === -1) continue;
      const taken = `nodes[${other}].data, which is ${quote(nodes[other].data!)}`;
      this.#report(`nodes[${i}].data`, data, `a directory apart from ${taken}`);
    }
  }

  #report(field: string, value: unknown, wanted: string): void {
    const found = value === undefined ? "missing" : show(value);
    this.problems.push(`${field} is ${found}, expected ${wanted}`);
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** By its letters; one of digits and dots alone would be an IP address, and is not a good one. */
function isHostName(text: string): boolean {
  return /^[A-Za-z0-9.-]{1,253}$/.test(text) && !/^[\d.]+$/.test(text);
}

/** Whether two listeners on the same port would be in each other's way. */
function hostsOverlap(one: string, other: string): boolean {
  const hosts = [one, other].map((host) => plainHost(host.toLowerCase()));
  if (hosts[0] === hosts[1]) return true;
  // A wildcard takes the port on every address of the machine.
  if (hosts.some((host) => host === "0.0.0.0" || /^[0:]*::[0:]*$/.test(host))) return true;
  return hosts.includes("localhost") && hosts.some((host) => /^(127\.|::1$)/.test(host));
}

/** An IPv4 address that is spelled as an IPv6 one in its own spelling. */
function plainHost(host: string): string {
  return host.replace(/^::ffff:(?=[\d.]+$)/, "");
}

/** Without a slash at its end: with one, the system would follow a link instead of naming it. */
function fromFolder(folder: string, path: string): string {
  const whole = isAbsolute(path) ? normalize(path) : join(folder, path);
  return whole.replace(/(?<=[^/\\])[/\\]+$/, "");
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** A value as it stands in the file, cut short when it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}

function list(names: string[]): string {
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
