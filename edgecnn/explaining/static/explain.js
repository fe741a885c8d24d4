// The page of `edgecnn explain`.

import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { renderInside } from "./inside.js";

renderInside(byId("inside"), pageData());
