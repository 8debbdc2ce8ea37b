// What every native library exports.
#pragma once

#define EASNN_EXPORT extern "C" __attribute__((visibility("default")))
