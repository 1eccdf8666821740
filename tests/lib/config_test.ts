import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { join, resolve } from "@std/path";
import { BUILT_IN_CONFIG, ConfigError, loadConfig, parseConfig } from "../../lib/config.ts";

/** A config that is right, as plain JSON values, for a test to spoil. */
// deno-lint-ignore no-explicit-any
function goodConfig(): any {
  return {
    router: { host: "127.0.0.1", port: 8080 },
    nodes: [
      { id: "n1", host: "127.0.0.1", port: 8090, linkPort: 8190, data: "data/n1" },
      { id: "n2", host: "127.0.0.1", port: 8091, linkPort: 8191, data: "data/n2" },
      { id: "n3", host: "127.0.0.1", port: 8092, linkPort: 8192, data: "data/n3" },
    ],
  };
}

function problemsOf(text: string): string[] {
  try {
    parseConfig(text, "cluster.json");
    return [];
  } catch (error) {
    assertInstanceOf(error, ConfigError);
    return error.problems.map((problem) => {
      const start = `Cannot use config "cluster.json": `;
      assertEquals(problem.slice(0, start.length), start);
      return problem.slice(start.length);
    });
  }
}

const ID = `1 to 32 letters, digits, "-" and "_", of which a letter or digit first`;
const HOST = `a host name or an IP address, such as "127.0.0.1"`;
const PORT = "an integer from 1 to 65535";
const DATA = "the path of a directory, without a comma";
const NODE_FIELDS = "id, host, port, linkPort and data";

// deno-lint-ignore no-explicit-any
type Spoil = (config: any) => void;

const SPOILED: [name: string, spoil: Spoil, problems: string[]][] = [
  ["a missing router", (c) => delete c.router, [
    "router is missing, expected an object with host and port",
  ]],
  ["a router that is a list", (c) => c.router = [8080], [
    "router is [8080], expected an object with host and port",
  ]],
  ["a router without a port", (c) => delete c.router.port, [
    `router.port is missing, expected ${PORT}`,
  ]],
  ["an unknown field of the router", (c) => c.router.linkPort = 1, [
    "router.linkPort is an unknown field, expected host and port only",
  ]],
  ["an unknown field of the config", (c) => c.shards = 6, [
    "shards is an unknown field, expected router and nodes only",
  ]],
  ["missing nodes", (c) => delete c.nodes, [
    "nodes is missing, expected a list of at least one node",
  ]],
  ["no nodes", (c) => c.nodes = [], [
    "nodes is [], expected a list of at least one node",
  ]],
  ["nodes that are an object", (c) => c.nodes = { n1: 8090 }, [
    `nodes is {"n1":8090}, expected a list of at least one node`,
  ]],
  ["a node that is text", (c) => c.nodes[1] = "n2", [
    `nodes[1] is "n2", expected an object with ${NODE_FIELDS}`,
  ]],
  ["a node that is null", (c) => c.nodes[1] = null, [
    `nodes[1] is null, expected an object with ${NODE_FIELDS}`,
  ]],
  ["a field in the wrong case", (c) => {
    c.nodes[2].linkport = 8192;
    delete c.nodes[2].linkPort;
  }, [
    `nodes[2].linkport is an unknown field, expected ${NODE_FIELDS} only`,
    `nodes[2].linkPort is missing, expected ${PORT}`,
  ]],
  ["a missing id", (c) => delete c.nodes[0].id, [`nodes[0].id is missing, expected ${ID}`]],
  ["an empty id", (c) => c.nodes[0].id = "", [`nodes[0].id is "", expected ${ID}`]],
  ["an id with a slash", (c) => c.nodes[0].id = "a/b", [`nodes[0].id is "a/b", expected ${ID}`]],
  ["an id that is a number", (c) => c.nodes[0].id = 1, [`nodes[0].id is 1, expected ${ID}`]],
  ["an id of 33 letters", (c) => c.nodes[0].id = "a".repeat(33), [
    `nodes[0].id is "${"a".repeat(33)}", expected ${ID}`,
  ]],
  ["an id that begins with a dash", (c) => c.nodes[0].id = "-n1", [
    `nodes[0].id is "-n1", expected ${ID}`,
  ]],
  ["an id that looks like a flag", (c) => c.nodes[0].id = "--id", [
    `nodes[0].id is "--id", expected ${ID}`,
  ]],
  ["an id that begins with an underscore", (c) => c.nodes[0].id = "_", [
    `nodes[0].id is "_", expected ${ID}`,
  ]],
  ["an id that ends with a line break", (c) => c.nodes[0].id = "n1\n", [
    `nodes[0].id is "n1\\n", expected ${ID}`,
  ]],
  ["the id of the router", (c) => c.nodes[1].id = "router", [
    `nodes[1].id is "router", expected another id than "router" and "cluster"`,
  ]],
  ["the id of the cluster", (c) => c.nodes[2].id = "cluster", [
    `nodes[2].id is "cluster", expected another id than "router" and "cluster"`,
  ]],
  ["an id that is taken", (c) => c.nodes[2].id = "n1", [
    `nodes[2].id is "n1", expected another id than nodes[0]`,
  ]],
  ["a host that is null", (c) => c.nodes[0].host = null, [
    `nodes[0].host is null, expected ${HOST}`,
  ]],
  ["a host with a port", (c) => c.router.host = "localhost:80", [
    `router.host is "localhost:80", expected ${HOST}`,
  ]],
  ["an IP address with a port", (c) => c.nodes[0].host = "127.0.0.1:80", [
    `nodes[0].host is "127.0.0.1:80", expected ${HOST}`,
  ]],
  ["an IP address with a part above 255", (c) => c.router.host = "127.0.0.256", [
    `router.host is "127.0.0.256", expected ${HOST}`,
  ]],
  ["an IPv6 address with nine parts", (c) => c.nodes[1].host = "1:2:3:4:5:6:7:8:9", [
    `nodes[1].host is "1:2:3:4:5:6:7:8:9", expected ${HOST}`,
  ]],
  ["a host in brackets", (c) => c.router.host = "[::1]", [
    `router.host is "[::1]", expected ${HOST}`,
  ]],
  ["port 0", (c) => c.nodes[0].port = 0, [`nodes[0].port is 0, expected ${PORT}`]],
  ["port 65536", (c) => c.nodes[0].port = 65536, [`nodes[0].port is 65536, expected ${PORT}`]],
  ["port 80.5", (c) => c.nodes[0].port = 80.5, [`nodes[0].port is 80.5, expected ${PORT}`]],
  ["a port that is text", (c) => c.nodes[2].linkPort = "8192", [
    `nodes[2].linkPort is "8192", expected ${PORT}`,
  ]],
  ["two nodes on one port", (c) => c.nodes[1].port = 8090, [
    "nodes[1].port is 8090, expected another port than nodes[0].port on host 127.0.0.1",
  ]],
  ["a node on the port of the router", (c) => c.nodes[1].linkPort = 8080, [
    "nodes[1].linkPort is 8080, expected another port than router.port on host 127.0.0.1",
  ]],
  ["a node with one port for both listeners", (c) => c.nodes[0].linkPort = 8090, [
    "nodes[0].linkPort is 8090, expected another port than nodes[0].port on host 127.0.0.1",
  ]],
  ["a wildcard that overlaps loopback", (c) => {
    c.router = { host: "0.0.0.0", port: 8090 };
  }, ["nodes[0].port is 8090, expected another port than router.port on host 0.0.0.0"]],
  ["an IPv6 wildcard that overlaps loopback", (c) => {
    c.nodes[1].host = "::";
    c.nodes[1].port = 8190;
  }, ["nodes[1].port is 8190, expected another port than nodes[0].linkPort on host 127.0.0.1"]],
  ["an IPv4 address in the spelling of IPv6", (c) => {
    c.nodes[1].host = "::FFFF:127.0.0.1";
    c.nodes[1].port = 8080;
  }, ["nodes[1].port is 8080, expected another port than router.port on host 127.0.0.1"]],
  ["an IPv4 wildcard in the spelling of IPv6", (c) => {
    c.nodes[1].host = "::ffff:0.0.0.0";
    c.nodes[1].port = 8080;
  }, ["nodes[1].port is 8080, expected another port than router.port on host 127.0.0.1"]],
  ["localhost beside loopback", (c) => {
    c.nodes[1].host = "localhost";
    c.nodes[1].port = 8080;
  }, ["nodes[1].port is 8080, expected another port than router.port on host 127.0.0.1"]],
  ["an empty data directory", (c) => c.nodes[0].data = "", [
    `nodes[0].data is "", expected ${DATA}`,
  ]],
  ["a data directory that is taken", (c) => c.nodes[1].data = "data/n1", [
    `nodes[1].data is "data/n1", expected a directory apart from nodes[0].data, which is "data/n1"`,
  ]],
  ["a data directory that is taken in other words", (c) => c.nodes[1].data = "data/x/../n1/", [
    `nodes[1].data is "data/n1", ` +
    `expected a directory apart from nodes[0].data, which is "data/n1"`,
  ]],
  ["a data directory inside another", (c) => c.nodes[2].data = "data/n1/deep", [
    `nodes[2].data is "data/n1/deep", ` +
    `expected a directory apart from nodes[0].data, which is "data/n1"`,
  ]],
  ["a data directory around another", (c) => c.nodes[2].data = "data", [
    `nodes[2].data is "data", expected a directory apart from nodes[0].data, which is "data/n1"`,
  ]],
  ["the folder of the config as a data directory", (c) => c.nodes[0].data = ".", [
    `nodes[0].data is ".", expected a directory that does not contain the config file`,
    ...apartFrom(".", "data/n2", "data/n3"),
  ]],
  ["the root as a data directory", (c) => c.nodes[0].data = "/", [
    `nodes[0].data is "/", expected a directory that does not contain the config file`,
    ...apartFrom("/", "data/n2", "data/n3"),
  ]],
  ["a data directory around the config", (c) => c.nodes[2].data = "../", [
    `nodes[2].data is "..", expected a directory that does not contain the config file`,
    `nodes[2].data is "..", ` +
    `expected a directory apart from nodes[0].data, which is "data/n1"`,
  ]],
  ["several faults", (c) => {
    c.router.port = -1;
    c.nodes[0].id = "n2";
    c.nodes[2].host = 7;
  }, [
    `router.port is -1, expected ${PORT}`,
    `nodes[2].host is 7, expected ${HOST}`,
    `nodes[1].id is "n2", expected another id than nodes[0]`,
  ]],
];

/** What is wrong with the nodes from the second on when the first has all of their data. */
function apartFrom(data: string, ...inside: string[]): string[] {
  return inside.map((other, i) =>
    `nodes[${i + 1}].data is "${other}", ` +
    `expected a directory apart from nodes[0].data, which is "${data}"`
  );
}

for (const [name, spoil, problems] of SPOILED) {
  Deno.test(`parseConfig() refuses ${name}`, () => {
    const config = goodConfig();
    spoil(config);
    assertEquals(problemsOf(JSON.stringify(config)), problems);
  });
}

const BROKEN: [name: string, text: string, problem: string][] = [
  ["an empty file", "", "it is not JSON: Unexpected end of JSON input"],
  [
    "text that breaks off",
    `{\n"router": {`,
    "it is not JSON: Expected property name or '}' in JSON at position 13 (line 2 column 12)",
  ],
  [
    "text that is not JSON at all",
    "port:\n8080",
    `it is not JSON: Unexpected token 'p', "port: 8080" is not valid JSON`,
  ],
  ["null", "null", "the whole is null, expected an object with router and nodes"],
  ["a list", "[1]", "the whole is [1], expected an object with router and nodes"],
];

for (const [name, text, problem] of BROKEN) {
  Deno.test(`parseConfig() refuses ${name}`, () => {
    assertEquals(problemsOf(text), [problem]);
  });
}

Deno.test("parseConfig() cuts a long value short in its message", () => {
  const config = { ...goodConfig(), nodes: "x".repeat(100) };
  assertEquals(problemsOf(JSON.stringify(config)), [
    `nodes is "${"x".repeat(58)}…, expected a list of at least one node`,
  ]);
});

Deno.test("parseConfig() takes a relative data path from the folder of the file", () => {
  const { nodes } = parseConfig(JSON.stringify(goodConfig()), "conf/cluster.json");
  assertEquals(nodes.map((node) => node.data), ["conf/data/n1", "conf/data/n2", "conf/data/n3"]);
});

Deno.test("parseConfig() takes the slash from the end of a data path", () => {
  const config = goodConfig();
  config.nodes[0].data = "data/n1/";
  config.nodes[1].data = "data/n2//./";
  config.nodes[2].data = "/elsewhere/n3///";
  const { nodes } = parseConfig(JSON.stringify(config), "conf/cluster.json");
  assertEquals(nodes.map((node) => node.data), [
    "conf/data/n1",
    "conf/data/n2",
    "/elsewhere/n3",
  ]);
});

Deno.test("parseConfig() accepts ids of any letters and digits", () => {
  for (const id of ["0", "Z", "n-1", "n_1-", "routers", "Cluster", "a".repeat(32)]) {
    const config = goodConfig();
    config.nodes[0].id = id;
    assertEquals(problemsOf(JSON.stringify(config)), [], id);
  }
});

Deno.test("parseConfig() leaves an absolute data path where it is", () => {
  const config = goodConfig();
  config.nodes[0].data = resolve("elsewhere", "n1");
  const { nodes } = parseConfig(JSON.stringify(config), "conf/cluster.json");
  assertEquals(nodes[0].data, resolve("elsewhere", "n1"));
});

Deno.test("parseConfig() puts everything on loopback unless told otherwise", () => {
  const config = goodConfig();
  delete config.router.host;
  delete config.nodes[0].host;
  const { router, nodes } = parseConfig(JSON.stringify(config), "cluster.json");
  assertEquals([router.host, nodes[0].host], ["127.0.0.1", "127.0.0.1"]);
});

Deno.test("parseConfig() accepts one node", () => {
  const config = goodConfig();
  config.nodes.length = 1;
  assertEquals(problemsOf(JSON.stringify(config)), []);
});

Deno.test("parseConfig() accepts one port on two addresses", () => {
  const config = goodConfig();
  config.nodes[1] = { ...config.nodes[1], host: "127.0.0.2", port: 8090 };
  config.nodes[2] = { ...config.nodes[2], host: "::1", port: 8090 };
  assertEquals(problemsOf(JSON.stringify(config)), []);
});

Deno.test("parseConfig() accepts data directories whose names begin alike", () => {
  const config = goodConfig();
  config.nodes[1].data = "data/n1-more";
  config.nodes[2].data = "data/..n1";
  assertEquals(problemsOf(JSON.stringify(config)), []);
});

Deno.test("parseConfig() accepts the built-in config when it is written to a file", () => {
  const config = parseConfig(JSON.stringify(BUILT_IN_CONFIG), "cluster.json");
  assertEquals(config, BUILT_IN_CONFIG);
});

Deno.test("loadConfig() without a path gives six nodes and a router on loopback", async () => {
  const { router, nodes } = await loadConfig();
  assertEquals(router, { host: "127.0.0.1", port: 8080 });
  assertEquals(nodes.length, 6);
  assertEquals(nodes[5], {
    id: "n6",
    host: "127.0.0.1",
    port: 8095,
    linkPort: 8195,
    data: join("data", "n6"),
  });
});

Deno.test("loadConfig() takes the JSON itself, with paths from the current directory", async () => {
  assertEquals(await loadConfig(JSON.stringify(BUILT_IN_CONFIG)), BUILT_IN_CONFIG);
  const error = await assertRejects(() => loadConfig(`{"nodes":[]}`), ConfigError);
  assertEquals(error.problems, [
    "Cannot use config on the command line: router is missing, expected an object with host and port",
    "Cannot use config on the command line: nodes is [], expected a list of at least one node",
  ]);
});

Deno.test("loadConfig() names the file that it cannot read", async () => {
  const error = await assertRejects(() => loadConfig("no/such.json"), ConfigError);
  assertEquals(
    error.message,
    `Cannot read config "no/such.json": No such file or directory`,
  );
});
