/**
 * A program: opens many connections to a port of this machine, says how many it got, and holds them
 * until its standard input ends. Sends the same bytes on each, if there are any.
 *
 *     deno run --allow-net=127.0.0.1 idle_connections.ts PORT COUNT [BASE64]
 *
 * @module
 */
const [port, count, base64 = ""] = Deno.args;
const bytes = Uint8Array.fromBase64(base64);
const held: Deno.TcpConn[] = [];
for (let i = 0; i < Number(count); i++) {
  try {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    held.push(connection);
    if (bytes.length > 0) await connection.write(bytes);
  } catch {
    // Refused, or ended already: what was to be found out.
  }
}
console.log(`holding ${held.length}`);
for await (const _ of Deno.stdin.readable);
