import { assertEquals } from "@std/assert";
import { HttpServer } from "../../lib/http_server.ts";

const OPTIONS = { hostname: "127.0.0.1", port: 0, report: console.error };

Deno.test("HttpServer stops although a client holds back the rest of its request", async () => {
  const gone = Promise.withResolvers<void>();
  const server = new HttpServer(OPTIONS, async (request) => {
    try {
      return new Response(await request.text());
    } catch {
      gone.resolve();
      return new Response(null);
    }
  });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
  await client.write(new TextEncoder().encode(head));
  // A second connection that is answered shows that the first has been taken up.
  const response = await fetch(`http://127.0.0.1:${server.port}`, { method: "POST", body: "x" });
  assertEquals(await response.text(), "x");
  await server.close();
  client.close();
  await gone.promise; // only now does its request end
});

Deno.test("HttpServer answers what it has taken before it stops", async () => {
  let answer = (_: Response) => {};
  let taken = () => {};
  const isTaken = new Promise<void>((resolve) => taken = resolve);
  const server = new HttpServer(OPTIONS, () => {
    taken();
    return new Promise((resolve) => answer = resolve);
  });
  const response = fetch(`http://127.0.0.1:${server.port}`);
  await isTaken;
  const closed = server.close();
  answer(new Response("late"));
  assertEquals(await (await response).text(), "late");
  await closed;
});
