// EDGEREID_CLONES before a function compiles it for newer x86 instruction sets as well and picks
// one when the program is loaded, so one binary is fast on new machines and runs on old ones.
#pragma once

#if defined(EDGEREID_HAVE_TARGET_CLONES)
#define EDGEREID_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define EDGEREID_CLONES
#endif
