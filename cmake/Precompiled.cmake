# SPDX-License-Identifier: Apache-2.0
# Headers of the standard library, and where most files of a room want it of a third party, parsed once for all targets that are
# compiled with the same flags: a third of the time that a small file takes to compile. They spare the compiler work, and nobody an
# #include: with CMAKE_DISABLE_PRECOMPILE_HEADERS=ON every file is compiled without them.

set(RECAP_STANDARD_HEADERS <algorithm> <array> <charconv> <chrono> <cstdint> <filesystem> <functional> <map> <memory> <optional>
  <set> <string> <string_view> <utility> <vector> <tl/expected.hpp>)
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/precompiled.cpp" CONTENT "// The headers are all.\n")

# recap_precompiled(NAME HEADERS <header>… LINKS … [OPTIONS …]): for targets that link the same of LINKS that has flags or
# definitions, and have the same OPTIONS; g++ refuses it elsewhere (-Winvalid-pch).
function(recap_precompiled name)
  cmake_parse_arguments(arg "" "" "HEADERS;LINKS;OPTIONS" ${ARGN})
  add_library(recap_precompiled_${name} OBJECT EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/precompiled.cpp")
  set_target_properties(recap_precompiled_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_link_libraries(recap_precompiled_${name} PRIVATE ${arg_LINKS})
  target_compile_options(recap_precompiled_${name} PRIVATE -fPIE ${arg_OPTIONS})
  target_precompile_headers(recap_precompiled_${name} PRIVATE ${arg_HEADERS})
endfunction()
