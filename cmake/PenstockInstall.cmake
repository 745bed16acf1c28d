# Install rules and the CMake package config, so that find_package(penstock) works elsewhere.

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)

# One export set per component, so that a project which uses one needs the packages of that one only.
get_property(libraries GLOBAL PROPERTY PENSTOCK_LIBRARIES)
set(penstock_components)
foreach(library IN LISTS libraries)
  get_target_property(component ${library} EXPORT_NAME)
  list(APPEND penstock_components ${component})
  install(TARGETS ${library} EXPORT penstock-${component}-targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT penstock-${component}-targets NAMESPACE penstock:: DESTINATION ${package_dir})
endforeach()

foreach(folder catalog ingest cachefs reader)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/include)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/include/
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()
if(PENSTOCK_BUILD_TOOLS)
  install(TARGETS penstock RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  set(PENSTOCK_SYSTEMD_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd units are installed")
  foreach(unit penstock-watch@.service penstock-mount@.service)
    configure_file(${PROJECT_SOURCE_DIR}/tools/systemd/${unit}.in ${PROJECT_BINARY_DIR}/${unit} @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${unit} DESTINATION ${PENSTOCK_SYSTEMD_UNIT_DIR})
  endforeach()
  # mount(8) looks for its helpers in /sbin alone, which with the prefix /usr is this.
  set(PENSTOCK_MOUNT_HELPER_DIR ${CMAKE_INSTALL_SBINDIR} CACHE STRING "Where mount.penstock is installed")
  install(CODE "
    set(folder \"${PENSTOCK_MOUNT_HELPER_DIR}\")
    if(NOT IS_ABSOLUTE \"\${folder}\")
      set(folder \"\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    endif()
    file(RELATIVE_PATH binary \"\${folder}\" \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/penstock\")
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${folder}\")
    foreach(name mount.penstock mount.fuse.penstock)
      file(CREATE_LINK \"\${binary}\" \"\$ENV{DESTDIR}\${folder}/\${name}\" SYMBOLIC)
      message(STATUS \"Installing: \$ENV{DESTDIR}\${folder}/\${name}\")
    endforeach()")
  foreach(section 1 5 8)
    install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section}
            FILES_MATCHING PATTERN "*.${section}")
  endforeach()
  install(FILES ${PROJECT_SOURCE_DIR}/tools/monitoring/penstock-alerts.yml
                ${PROJECT_SOURCE_DIR}/tools/monitoring/penstock-dashboard.json
          DESTINATION ${CMAKE_INSTALL_DATADIR}/penstock/monitoring)
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/penstockConfig.cmake.in
  ${PROJECT_BINARY_DIR}/penstockConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/penstockConfig.cmake
              ${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/PenstockDependencies.cmake
        DESTINATION ${package_dir})
