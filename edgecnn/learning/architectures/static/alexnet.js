// The chapter on this architecture: its blocks.

import { showBlocks } from "./blocks.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";

showBlocks(byId("blocks"), pageData().network);
