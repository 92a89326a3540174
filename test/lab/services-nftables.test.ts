import { testServices } from "./services.ts";

testServices("nftables");
