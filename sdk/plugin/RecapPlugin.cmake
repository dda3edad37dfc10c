# SPDX-License-Identifier: Apache-2.0
# recap_plugin(NAME SOURCES … LINKS …): NAME.so with one exported symbol, `recap_plugin`, and no unresolved ones.
# For plugins of the tree and for an author's own project alike.

function(recap_plugin name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  find_package(Threads REQUIRED)
  add_library(plugin_${name} MODULE ${arg_SOURCES})
  set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/recap_plugin.map")
  target_include_directories(plugin_${name} PRIVATE ${RECAP_PLUGIN_SDK})
  target_link_libraries(plugin_${name} PRIVATE ${arg_LINKS} Threads::Threads)
  target_link_options(plugin_${name} PRIVATE "-Wl,--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/recap_plugin.map" -Wl,--no-undefined)
endfunction()
