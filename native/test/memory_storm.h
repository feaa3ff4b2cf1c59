// A target that does at random what a pager has to follow.
#ifndef THAW_NATIVE_TEST_MEMORY_STORM_H_
#define THAW_NATIVE_TEST_MEMORY_STORM_H_

#include <cstdint>

#include "test_image.h"

namespace thaw::testing {

// Discards, moves, unmaps, reads and forks; in the end it looks at every page. kRight, or where it
// found something else. For use in a target.
int Storm(const TestImage& image, uint64_t seed);

}  // namespace thaw::testing

#endif  // THAW_NATIVE_TEST_MEMORY_STORM_H_
