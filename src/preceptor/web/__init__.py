"""What every page of Preceptor shares: headers, how files are served, and a few scripts under /common."""
