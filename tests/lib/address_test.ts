import { assertEquals } from "@std/assert";
import { formatAddress } from "../../lib/address.ts";

Deno.test("formatAddress() puts an IPv6 address in brackets", () => {
  assertEquals(formatAddress("::1", 8080), "[::1]:8080");
  assertEquals(formatAddress("127.0.0.1", 8080), "127.0.0.1:8080");
});
