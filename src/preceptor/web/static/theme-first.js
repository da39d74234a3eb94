// Before anything is painted: the theme that was chosen. A classic script, for modules come too late.
try {
  const theme = JSON.parse(localStorage.getItem("preceptor/theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is forbidden: the system's theme it is
}
